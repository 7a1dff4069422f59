// Owns: TransactWriteItems for a DynamoDB that has none: all writes or none, the reasons of a cancelled one, and tokens.
// Must not: listen, or let anything else run beside a transaction; its caller keeps the others waiting.
// Called by: dynamodb_server.ts.
//
// The writes are made one after the other, each under its own condition. Items of one transaction are distinct, so each condition
// sees what it would have seen alone; if one does not hold, what was written is put back as it was.

/** An item, a key, or a part of them, as DynamoDB writes it. */
type Item = Record<string, unknown>;

/** A request or an answer as JSON. */
type Json = Readonly<Record<string, unknown>>;

/** An answer of DynamoDB. */
export interface Answer {
  readonly status: number;
  readonly body: Json;
}

/** Makes a request of the DynamoDB that has no transactions. */
export type Call = (operation: string, body: Json) => Promise<Answer>;

/** One of the writes. */
interface Write {
  readonly kind: "Put" | "Update" | "Delete" | "ConditionCheck";
  readonly request: Json;
  readonly tableName: string;
  readonly key: Item;
}

/** Why a write was not made, or that it was not to blame. */
interface Reason {
  readonly Code: string;
  readonly Message?: string;
  readonly Item?: Item;
}

/** What was at the place of a write before; null for nothing. */
interface Undo {
  readonly write: Write;
  readonly before: Item | null;
}

const OPERATIONS = {
  Put: "PutItem",
  Update: "UpdateItem",
  Delete: "DeleteItem",
  // Its condition is asked by an update of nothing, which is put back.
  ConditionCheck: "UpdateItem",
} as const;
const KINDS = Object.keys(OPERATIONS) as readonly Write["kind"][];
const WRITES_MAX = 100;
const BYTES_MAX = 4 * 1_048_576;
const TOKEN_LENGTH_MAX = 36;
const TOKEN_LIFE_MS = 600_000;
const NONE: Reason = { Code: "None" };
/** What is wrong with the words of a request; everything else depends on the item that is there. */
const IS_OF_REQUEST = /^(Invalid |Expression|Value provided|Supplied|\d+ validation error)/;

/** The transactions of one DynamoDB. */
export class Transactions {
  readonly #call: Call;
  readonly #now: () => number;
  /** What became of a token: in the order in which they came. */
  readonly #tokens = new Map<string, { readonly request: string; readonly at: number }>();

  constructor(call: Call, now: () => number) {
    this.#call = call;
    this.#now = now;
  }

  /** Carries out a request of TransactWriteItems. Nothing else may run meanwhile. */
  async write(request: string): Promise<Answer> {
    try {
      const { ClientRequestToken: token, ...rest } = parse(request);
      if (token !== undefined && this.#isKnown(token, JSON.stringify(rest))) return done;
      const writes = await this.#writesOf(rest.TransactItems);
      const reasons = await this.#tryAll(writes);
      if (reasons.some(({ Code }) => Code !== "None")) return cancelled(reasons);
      if (typeof token === "string") {
        this.#tokens.set(token, { request: JSON.stringify(rest), at: this.#now() });
      }
      return done;
    } catch (error) {
      if (error instanceof Refused) return error.answer;
      throw error;
    }
  }

  /** Whether the very request was carried out under this token. */
  #isKnown(token: unknown, request: string): boolean {
    if (typeof token !== "string" || token === "" || token.length > TOKEN_LENGTH_MAX) {
      throw invalid(`ClientRequestToken must have 1 to ${TOKEN_LENGTH_MAX} characters`);
    }
    for (const [old, { at }] of this.#tokens) {
      if (this.#now() - at < TOKEN_LIFE_MS) break;
      this.#tokens.delete(old);
    }
    const known = this.#tokens.get(token);
    if (known === undefined || known.request === request) return known !== undefined;
    throw new Refusal(
      "IdempotentParameterMismatchException",
      "The request was made with other parameters before under this ClientRequestToken",
    );
  }

  async #writesOf(items: unknown): Promise<readonly Write[]> {
    if (!Array.isArray(items) || items.length === 0 || items.length > WRITES_MAX) {
      throw invalid(
        "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: " +
          `Member must have length less than or equal to ${WRITES_MAX}, and at least 1`,
      );
    }
    if (JSON.stringify(items).length > BYTES_MAX) {
      throw invalid("The items of a transaction must not have more than 4 MB together");
    }
    const keys = new Map<string, readonly string[]>();
    const writes: Write[] = [];
    for (const item of items) writes.push(await this.#writeOf(item, keys));
    const places = writes.map(({ tableName, key }) => JSON.stringify([tableName, key]));
    if (new Set(places).size < places.length) {
      throw invalid("Transaction request cannot include multiple operations on one item");
    }
    return writes;
  }

  async #writeOf(item: unknown, keys: Map<string, readonly string[]>): Promise<Write> {
    const kinds = KINDS.filter((kind) => Object(item)[kind] !== undefined);
    const [kind] = kinds;
    if (kind === undefined || kinds.length > 1) {
      throw invalid(
        "TransactItems can only contain one of Check, Put, Update or Delete",
      );
    }
    const request = Object((item as Json)[kind]) as Json;
    const tableName = String(request.TableName ?? "");
    const names = keys.get(tableName) ?? await this.#keysOf(tableName);
    keys.set(tableName, names);
    const given = Object(kind === "Put" ? request.Item : request.Key) as Item;
    const key = Object.fromEntries(names.map((name) => [name, given[name]]));
    return { kind, request, tableName, key };
  }

  async #keysOf(tableName: string): Promise<readonly string[]> {
    const { status, body } = await this.#call("DescribeTable", { TableName: tableName });
    if (status !== 200) throw new Refused({ status, body });
    const { KeySchema } = body.Table as { readonly KeySchema: readonly Json[] };
    return KeySchema.map(({ AttributeName }) => String(AttributeName));
  }

  /** Makes every write, or none; gives a reason for each. */
  async #tryAll(writes: readonly Write[]): Promise<readonly Reason[]> {
    const made: Undo[] = [];
    const reasons: Reason[] = [];
    try {
      for (const write of writes) {
        const result = await this.#try(write);
        if ("Code" in result) reasons.push(result);
        else {
          reasons.push(NONE);
          made.push(result);
        }
      }
    } catch (error) {
      await this.#putBack(made);
      throw error;
    }
    const isCancelled = reasons.some(({ Code }) => Code !== "None");
    await this.#putBack(isCancelled ? made : made.filter(({ write }) => isCheck(write)));
    return reasons;
  }

  async #try(write: Write): Promise<Undo | Reason> {
    const { ReturnValuesOnConditionCheckFailure: wanted, ...request } = write.request;
    const sent = { ...request, ReturnValues: "ALL_OLD" };
    const { status, body } = await this.#call(OPERATIONS[write.kind], sent);
    if (status === 200) return { write, before: body.Attributes as Item | undefined ?? null };
    const [type, message] = [String(body.__type), String(body.message ?? body.Message ?? "")];
    if (type.endsWith("ConditionalCheckFailedException")) {
      const item = wanted === "ALL_OLD" ? await this.#read(write) : undefined;
      const reason = { Code: "ConditionalCheckFailed", Message: message };
      return item === undefined ? reason : { ...reason, Item: item };
    }
    if (type.endsWith("ValidationException") && !IS_OF_REQUEST.test(message)) {
      return { Code: "ValidationError", Message: message };
    }
    throw new Refused({ status, body });
  }

  async #read({ tableName, key }: Write): Promise<Item | undefined> {
    const input = { TableName: tableName, Key: key, ConsistentRead: true };
    return (await this.#call("GetItem", input)).body.Item as Item | undefined;
  }

  async #putBack(made: readonly Undo[]): Promise<void> {
    for (const { write: { tableName: TableName, key }, before } of made) {
      const { status, body } = before === null
        ? await this.#call("DeleteItem", { TableName, Key: key })
        : await this.#call("PutItem", { TableName, Item: before });
      if (status !== 200) throw new Error(`A write cannot be put back: ${JSON.stringify(body)}`);
    }
  }
}

const done: Answer = { status: 200, body: {} };

/** Ends a request with an answer that is no success. */
class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(String(answer.body.message));
    this.answer = answer;
  }
}

class Refusal extends Refused {
  constructor(name: string, message: string, more: Json = {}) {
    const __type = `com.amazonaws.dynamodb.v20120810#${name}`;
    // Of a cancelled transaction the SDK reads `Message`.
    super({ status: 400, body: { __type, message, Message: message, ...more } });
  }
}

function invalid(message: string): Refused {
  const __type = "com.amazon.coral.validate#ValidationException";
  return new Refused({ status: 400, body: { __type, message } });
}

function cancelled(reasons: readonly Reason[]): Answer {
  const codes = reasons.map(({ Code }) => Code).join(", ");
  return new Refusal(
    "TransactionCanceledException",
    `Transaction cancelled, please refer cancellation reasons for specific reasons [${codes}]`,
    { CancellationReasons: reasons },
  ).answer;
}

function parse(request: string): Json {
  try {
    return Object(JSON.parse(request)) as Json;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const __type = "com.amazon.coral.service#SerializationException";
    throw new Refused({ status: 400, body: { __type, Message: error.message } });
  }
}

function isCheck({ kind }: Write): boolean {
  return kind === "ConditionCheck";
}
