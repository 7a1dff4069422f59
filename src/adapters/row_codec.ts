/**
 * Owns: how a row is written as the attributes of a DynamoDB item, and the strict reading of it.
 * Must not: call DynamoDB, or mend a row that it cannot read.
 * Called by: `dynamo_lease_store.ts`, `memory_rows.ts`.
 *
 * An item is meant to be read by people: names in words, times in ISO 8601, nothing packed into JSON.
 *
 * @module
 */

import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from "../core/checkpoint.ts";
import type {
  HandoverRequest,
  MoveReason,
  Row,
  RowFields,
  ShardOrder,
  ShardRow,
} from "../core/lease.ts";
import { STATE_BYTES_MAX } from "../core/shard_state.ts";
import { invariant, messageOf } from "../errors.ts";
import type { RowKinds } from "../ports.ts";

/** The attributes of an item, as the SDK has them. */
export type Item = Record<string, AttributeValue>;

/** The attributes that a change names; null is one that is absent. */
export type Attributes = Record<string, AttributeValue | null>;

/** Thrown when an item is not a row. */
export class MalformedRowError extends Error {
  override readonly name = "MalformedRowError";
}

/** The attribute that the table is hashed by: the name of the stream. */
export const HASH_KEY = "Stream";
/** The attribute that the rows of a stream are sorted by: the kind and the id. */
export const RANGE_KEY = "Row";

/** One field of a row, as one attribute or more. */
interface Field<T> {
  write(value: T): Attributes;
  read(item: Item): T;
}

type Fields<R extends Row> = { readonly [K in keyof Omit<R, "kind" | "id">]-?: Field<R[K]> };

const TEXT_LENGTH_MAX = 1_024;
/** More than is ever written: a bound for a hostile row. */
const STATE_LENGTH_MAX = 2 * STATE_BYTES_MAX;
const HASH_KEY_NUMBER = /^(0|[1-9]\d{0,38})$/;
const NUMBER = /^\d{1,16}(\.\d{1,32})?$/;

const FIELDS: { readonly [K in Row["kind"]]: Fields<RowKinds[K]> } = {
  shard: {
    owner: optional("Owner", text()),
    holder: optional("Holder", text()),
    previousOwner: optional("PreviousOwner", text()),
    term: required("Term", count()),
    checkpoint: required("Checkpoint", position()),
    checkpointAt: optional("CheckpointAt", time()),
    millisBehindLatest: optional("MillisBehindLatest", amount()),
    parents: required("Parents", texts()),
    hashKeyRange: hashKeyRange(),
    stoppedBy: required("StoppedBy", texts()),
    handover: handover(),
    because: optional("Because", moveReason()),
    order: shardOrder(),
    state: shardState(),
  },
  worker: {
    incarnation: required("Incarnation", text()),
    beat: required("Beat", count()),
    beatAt: required("BeatAt", time()),
    heartbeatTimeout: required("HeartbeatTimeout", amount()),
    attention: optional("Attention", text()),
    shards: required("Shards", count()),
    isDraining: required("IsDraining", flag()),
    version: required("Version", text()),
  },
  stream: {
    startAt: required("StartAt", position()),
  },
};

/** The range key of a row. The row of the stream needs no id: it is the only one of its kind under a hash key. */
export function rangeKey(kind: Row["kind"], id: string): string {
  return kind === "stream" ? kind : `${kind}/${id}`;
}

/** What the range keys of all rows of a kind begin with. */
export function rangeKeyPrefix(kind: Row["kind"]): string {
  return kind === "stream" ? kind : `${kind}/`;
}

/** The id in a range key. */
export function rowId(kind: Row["kind"], streamName: string, key: string): string {
  return kind === "stream" ? streamName : key.slice(rangeKeyPrefix(kind).length);
}

/** The attributes of some fields of a row; null for those that are absent. */
export function writeFields<R extends Row>(kind: R["kind"], fields: RowFields<R>): Attributes {
  const known = FIELDS[kind] as Record<string, Field<unknown>>;
  return Object.assign(
    {},
    ...Object.entries(fields).map(([name, value]) => {
      const field = known[name];
      invariant(field, `a ${kind} row has no field "${name}"`);
      return field.write(value);
    }),
  );
}

/**
 * Reads an item as the row of a kind. Attributes that are not known are left alone: a newer version may have put them
 * there.
 *
 * @throws {MalformedRowError} If anything about it is not as this software writes it.
 */
export function readRow<K extends Row["kind"]>(kind: K, id: string, item: Item): RowKinds[K] {
  const fields = Object.entries(FIELDS[kind] as Record<string, Field<unknown>>)
    .map(([name, field]) => [name, field.read(item)]);
  return { kind, id, ...Object.fromEntries(fields) } as RowKinds[K];
}

/** How one value is written as an attribute. */
interface Value<T> {
  write(value: T): AttributeValue;
  /** Gives undefined if it is none. */
  read(value: AttributeValue): T | undefined;
  readonly words: string;
}

function required<T>(attribute: string, value: Value<T>): Field<T> {
  const field = optional(attribute, value);
  return {
    write: field.write,
    read(item) {
      const found = field.read(item);
      if (found === null) throw new MalformedRowError(`${attribute} is missing`);
      return found;
    },
  };
}

function optional<T>(attribute: string, value: Value<T>): Field<T | null> {
  return {
    write: (given) => ({ [attribute]: given === null ? null : value.write(given) }),
    read(item) {
      const given = Object.hasOwn(item, attribute) ? item[attribute] : undefined;
      if (given === undefined) return null;
      // `Object`, since what is no object cannot be taken apart.
      const found = value.read(Object(given));
      if (found !== undefined) return found;
      throw new MalformedRowError(`${attribute} must be ${value.words}; it is ${show(given)}`);
    },
  };
}

function text(
  pattern = /^/,
  words = `a text of 1 to ${TEXT_LENGTH_MAX} characters`,
): Value<string> {
  return {
    words,
    write(value) {
      invariant(isText(value) && pattern.test(value), `"${value}" is ${words}`);
      return { S: value };
    },
    read: ({ S }) => isText(S) && pattern.test(S) ? S : undefined,
  };
}

function texts(): Value<readonly string[]> {
  return {
    words: "a list of texts",
    // A list, since DynamoDB has no empty sets.
    write: (values) => ({ L: values.map((value) => ({ S: value })) }),
    read({ L }) {
      if (!Array.isArray(L)) return undefined;
      const values = L.map((element: unknown) => (element as { S?: unknown } | null)?.S);
      return values.every(isText) ? values : undefined;
    },
  };
}

function count(): Value<number> {
  return numeric("a whole number from 0 on", Number.isSafeInteger);
}

function amount(): Value<number> {
  return numeric("a number from 0 on", (value) => value <= Number.MAX_SAFE_INTEGER);
}

function numeric(words: string, accepts: (value: number) => boolean): Value<number> {
  return {
    words,
    write(value) {
      invariant(value >= 0 && accepts(value), `${value} is ${words}`);
      return { N: String(value) };
    },
    read({ N }) {
      if (typeof N !== "string" || !NUMBER.test(N)) return undefined;
      return accepts(Number(N)) ? Number(N) : undefined;
    },
  };
}

function flag(): Value<boolean> {
  return {
    words: "true or false",
    write: (value) => ({ BOOL: value }),
    read: ({ BOOL }) => typeof BOOL === "boolean" ? BOOL : undefined,
  };
}

function time(): Value<number> {
  return {
    words: "an ISO time",
    write: (value) => ({ S: new Date(value).toISOString() }),
    read({ S }) {
      const value = typeof S === "string" ? Date.parse(S) : NaN;
      // `Date.parse` takes much more than ISO 8601, in ways that differ from one engine to the next.
      return Number.isFinite(value) && new Date(value).toISOString() === S ? value : undefined;
    },
  };
}

function position(): Value<Checkpoint> {
  return {
    words: "TRIM_HORIZON, SHARD_END, AT_TIMESTAMP:<ISO time> or a sequence number",
    write: (value) => ({ S: formatCheckpoint(value) }),
    read({ S }) {
      if (typeof S !== "string") return undefined;
      try {
        return parseCheckpoint(S);
      } catch (error) {
        if (error instanceof SyntaxError) return undefined;
        throw error;
      }
    },
  };
}

function hashKeyRange(): Field<ShardRow["hashKeyRange"]> {
  const words = "a decimal number";
  const start = optional("StartingHashKey", text(HASH_KEY_NUMBER, words));
  const end = optional("EndingHashKey", text(HASH_KEY_NUMBER, words));
  return {
    write: (range) => ({ ...start.write(range?.start ?? null), ...end.write(range?.end ?? null) }),
    read(item) {
      const range = { start: start.read(item), end: end.read(item) };
      return both(range, "StartingHashKey and EndingHashKey");
    },
  };
}

function handover(): Field<HandoverRequest | null> {
  const to = optional("HandoverTo", text());
  const id = optional("HandoverId", text());
  const isOrder = optional("HandoverIsOrder", flag());
  const at = optional("HandoverAt", time());
  return {
    write: (request) => ({
      ...to.write(request?.to ?? null),
      ...id.write(request?.id ?? null),
      ...isOrder.write(request?.isOrder || null),
      ...at.write(request?.at ?? null),
    }),
    read(item) {
      const request = both({ to: to.read(item), id: id.read(item) }, "HandoverTo and HandoverId");
      if (request === null) return null;
      const askedAt = at.read(item);
      return {
        ...request,
        ...isOrder.read(item) && { isOrder: true },
        ...askedAt !== null && { at: askedAt },
      };
    },
  };
}

/** For people: what another version writes here is no reason to refuse the row. */
function moveReason(): Value<MoveReason> {
  return text() as Value<MoveReason>;
}

function shardOrder(): Field<ShardOrder | null> {
  const kind = optional("Order", text(/^(stop|start)$/, "stop or start"));
  const id = optional("OrderId", text());
  const at = optional("OrderAt", time());
  return {
    write: (order) => ({
      ...kind.write(order?.kind ?? null),
      ...id.write(order?.id ?? null),
      ...at.write(order?.at ?? null),
    }),
    read(item) {
      const words = both({ kind: kind.read(item), id: id.read(item) }, "Order and OrderId");
      if (words === null) return null;
      return {
        kind: words.kind === "stop" ? "stop" : "start",
        id: words.id,
        at: at.read(item) ?? 0,
      };
    },
  };
}

/** What a processor keeps, as it gave it. It is nobody's business: no error shows it. */
function shardState(): Field<string | null> {
  const isState = (value: unknown): value is string =>
    typeof value === "string" && value.length > 0 && value.length <= STATE_LENGTH_MAX;
  return {
    write(value) {
      invariant(value === null || isState(value), "a state is a text");
      return { State: value === null ? null : { S: value } };
    },
    read(item) {
      const given = Object.hasOwn(item, "State") ? item["State"] : undefined;
      if (given === undefined) return null;
      const { S } = Object(given);
      if (isState(S)) return S;
      throw new MalformedRowError(
        `State must be a text of 1 to ${STATE_LENGTH_MAX} characters; it is something else`,
      );
    },
  };
}

function both<K extends string>(
  pair: Readonly<Record<K, string | null>>,
  attributes: string,
): Readonly<Record<K, string>> | null {
  const values = Object.values(pair);
  if (values.every((value) => value === null)) return null;
  if (values.includes(null)) {
    throw new MalformedRowError(`${attributes} must be there together, or not at all`);
  }
  return pair as Readonly<Record<K, string>>;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= TEXT_LENGTH_MAX;
}

function show(value: AttributeValue): string {
  try {
    return JSON.stringify(value)?.slice(0, 100) ?? typeof value;
  } catch (error) {
    // A cycle, or a bigint: not from DynamoDB, and no reason to fail over a message.
    return `of type ${typeof value} (${messageOf(error)})`;
  }
}
