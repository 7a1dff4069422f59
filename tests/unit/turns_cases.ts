// Owns: what is drawn for the turns on a shard, and a stream whose reads are as they were drawn.
// Must not: run or assert anything.
// Called by: turns_testing.ts, and the turns_*_test.ts files.
import fc from "fast-check";
import { type Checkpoint, isAfter } from "../../src/core/checkpoint.ts";
import { type ErrorHandlingMode, retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch, SourceRecord, StreamSource } from "../../src/ports.ts";
import { aggregate } from "../kpl.ts";
import type { Bench } from "./runtime_testing.ts";

/** How old a record may be, in the cases in which that counts. */
export const AGE_MS = 60_000;

/** A record as the user gets it. */
export interface User {
  readonly key: number;
  /** Moments; negative: milliseconds. */
  readonly takes: number;
  /** So many attempts of a turn fail. */
  readonly fails: number;
  /** Whether a batch that it is in throws, or says that it failed. */
  readonly throws: boolean;
  readonly mode: ErrorHandlingMode;
  readonly isFiltered: boolean;
  /** What happens while it is in hand for the first time. */
  readonly meanwhile: string | undefined;
}

/** The settings, and what surrounds them. */
export interface Settings {
  readonly concurrency: number;
  readonly orderBy: "partitionKey" | "none";
  readonly isManual: boolean;
  readonly kind: string;
  /** Where the processor is. */
  readonly place: string;
  /** How many loops or threads. */
  readonly places: number;
  /** Whether a factory makes it. */
  readonly isMade: boolean;
  readonly maxBatchSize: number;
  readonly batchSize: number;
  readonly batchWindow: number;
  readonly bisectBatchOnError: boolean;
  readonly hasAgeLimit: boolean;
  readonly hasFilter: boolean;
  readonly hasDestination: boolean;
  readonly bufferBytes: number;
  readonly processTimeout: number;
  /** How long the destination and the hooks of the processor take, in milliseconds. */
  readonly hooksTake: number;
  /** So many times a factory fails. */
  readonly makeFails: number;
}

/** What is drawn. */
export interface Case {
  readonly settings: Settings;
  /** One is a record of the stream, or several in an aggregate. */
  readonly records: readonly {
    readonly users: readonly User[];
    readonly isPacked: boolean;
    readonly isOld: boolean;
  }[];
  readonly reads: readonly {
    readonly size: number;
    readonly fails: boolean;
    readonly waits: number;
  }[];
  /** Whether the end of the shard comes with no records. */
  readonly isEndAlone: boolean;
}

const USER: fc.Arbitrary<User> = fc.record({
  key: fc.nat(3),
  /** Moments, or milliseconds. */
  takes: fc.oneof(fc.nat(12), fc.constantFrom(-1, -30, -500)),
  /** So many attempts of a turn fail. */
  fails: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 })),
  throws: fc.boolean(),
  mode: fc.constantFrom(
    retryAndSkip(0),
    retryAndSkip(1),
    retryAndSkip(9),
    retryAndStop(0),
    retryAndStop(1),
  ),
  isFiltered: fc.boolean(),
  meanwhile: fc.option(fc.constantFrom("change", "drain", "lose", "die"), {
    freq: 10,
    nil: undefined,
  }),
});

const SETTINGS: fc.Arbitrary<Settings> = fc.record({
  concurrency: fc.constantFrom(1, 1, 2, 3, 16),
  orderBy: fc.constantFrom("partitionKey" as const, "partitionKey" as const, "none" as const),
  isManual: fc.boolean(),
  kind: fc.constantFrom("record", "batch"),
  /** Where the processor is. */
  place: fc.constantFrom("here", "loops", "threads"),
  /** How many loops or threads. */
  places: fc.integer({ min: 1, max: 3 }),
  isMade: fc.boolean(),
  maxBatchSize: fc.constantFrom(1, 2, 3, 100),
  batchSize: fc.constantFrom(1, 2, 5, 100),
  batchWindow: fc.constantFrom(0, 0, 50, 5_000),
  bisectBatchOnError: fc.boolean(),
  hasAgeLimit: fc.boolean(),
  hasFilter: fc.boolean(),
  hasDestination: fc.boolean(),
  bufferBytes: fc.constantFrom(2 ** 26, 1_000),
  processTimeout: fc.constantFrom(0, 0, 400),
  /** How long the destination and the hooks of the processor take, in milliseconds. */
  hooksTake: fc.constantFrom(0, 0, 150),
  /** So many times a factory fails. */
  makeFails: fc.constantFrom(0, 0, 1, 4),
});

/** Draws. */
export const CASE: fc.Arbitrary<Case> = fc.record({
  settings: SETTINGS,
  /** One is a record of the stream, or several in an aggregate. */
  records: fc.array(
    fc.record({
      users: fc.array(USER, { minLength: 1, maxLength: 5 }),
      isPacked: fc.boolean(),
      isOld: fc.boolean(),
    }),
    { maxLength: 12 },
  ),
  reads: fc.array(
    fc.record({ size: fc.nat(6), fails: fc.boolean(), waits: fc.constantFrom(0, 0, 1, 300) }),
    { minLength: 1, maxLength: 8 },
  ),
  isEndAlone: fc.boolean(),
});
/** A record of the stream. */
export interface Payload {
  readonly partitionKey: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Where the records are. */
export interface Stage {
  /** Of the records that are in the stream by now. */
  readonly sequenceNumbers: readonly string[];
  readonly source: StreamSource;
  /** Lets everything happen that needs no time. */
  readonly settle?: () => Promise<void>;
}

/** Makes a stage of records. */
export type StageOf = (given: Case, bench: Bench, payloads: readonly Payload[]) => Stage;

/** Whether records go into the stream as one. */
function isAggregate(users: readonly User[], isPacked: boolean): boolean {
  return isPacked || users.length > 1;
}

/** A stream whose reads are as they were drawn. */
export function scripted(given: Case, { clock }: Bench, payloads: readonly Payload[]): Stage {
  const { reads, isEndAlone, settings: { maxBatchSize } } = given;
  const stream: readonly SourceRecord[] = payloads.map((payload, i) => ({
    ...payload,
    sequenceNumber: String(100 + i),
    approximateArrivalTimestamp: clock.now() - (given.records[i]?.isOld ? 2 * AGE_MS : 0),
  }));
  let count = 0;
  async function* open(after: Checkpoint, signal: AbortSignal): AsyncGenerator<Batch> {
    let rest = stream.filter((record) => isAfter(record, after));
    for (;;) {
      const read = reads[count % reads.length];
      const { fails = false, waits = 0 } = read ?? {};
      // Not only empty ones.
      const size = Math.max(count % reads.length === 0 ? 1 : 0, read?.size ?? 1);
      count += 1;
      if (waits > 0) await clock.sleep(waits, signal);
      signal.throwIfAborted();
      // Not for ever: each second time a read that fails works.
      if (fails && Math.floor(count / reads.length) % 2 === 0) {
        throw new SourceError("no", { kind: "unavailable" });
      }
      const records = rest.slice(0, Math.min(size, maxBatchSize));
      rest = rest.slice(records.length);
      const isEnd = rest.length === 0 && (!isEndAlone || records.length === 0);
      yield { records, millisBehindLatest: rest.length, ...isEnd && { end: { children: [] } } };
      if (isEnd) return;
    }
  }
  return {
    sequenceNumbers: stream.map(({ sequenceNumber }) => sequenceNumber),
    source: {
      listShards: () =>
        Promise.resolve([{ id: "s", parents: [], hashKeyRange: null, isClosed: false }]),
      open: (_, after, signal) => open(after, signal),
    },
  };
}

/** The payloads of the stream: each record of the user's has its number as its text. */
export function payloadsOf({ records }: Case): readonly Payload[] {
  let next = 0;
  return records.map(({ users, isPacked }) => {
    const packed = users.map(({ key }) => ({
      partitionKey: `key ${key}`,
      data: new TextEncoder().encode(String(next++)),
    }));
    const [{ partitionKey, data } = { partitionKey: "", data: new Uint8Array() }] = packed;
    return { partitionKey, data: isAggregate(users, isPacked) ? aggregate(packed) : data };
  });
}

/** A record of the user's, and the position after it. */
export interface Known extends User {
  readonly position: Checkpoint;
}

/** Of a record that is not in the stream yet. */
const LATER = "9".repeat(100);

/** The records of the user's, by number. */
export function knownOf({ records }: Case, { sequenceNumbers }: Stage): readonly Known[] {
  return records.flatMap(({ users, isPacked }, i) =>
    users.map((user, sub) => {
      const isWhole = !isAggregate(users, isPacked) || sub === users.length - 1;
      return {
        ...user,
        get position() {
          const sequenceNumber = sequenceNumbers[i] ?? LATER;
          const position = { kind: "sequence" as const, sequenceNumber };
          return isWhole ? position : { ...position, subSequenceNumber: sub };
        },
      };
    })
  );
}
