/**
 * Owns: every setting, once: its default, unit, range and meaning. Code, flags, environment, `--help` and README read it here.
 * Must not: read flags or the environment; it is given values.
 * Called by: `app.ts` and the command line.
 *
 * @module
 */

import { type Checkpoint, TRIM_HORIZON } from "./checkpoint.ts";
import { formatDuration, parseDuration } from "./duration.ts";

/** Where a stream that was never processed by the app begins. A number is milliseconds since the epoch. */
export type InitialPosition = "TRIM_HORIZON" | "LATEST" | Date | number;

/** The settings of an app. All are optional; durations are in milliseconds. */
export interface ReactoKinesixConfig {
  /**
   * Read capacity units of the state table, when `billingMode` is `PROVISIONED`. 1 to 40,000.
   *
   * @default {10}
   */
  readonly dynamoDBReadThroughput?: number;
  /**
   * Write capacity units of the state table, when `billingMode` is `PROVISIONED`. 1 to 40,000.
   *
   * @default {10}
   */
  readonly dynamoDBWriteThroughput?: number;
  /**
   * What follows the app name in the name of the state table: 1 to 200 letters, digits, `_`, `-` or `.`.
   *
   * @default {"KinesisState"}
   */
  readonly dynamoDBTableSuffix?: string;
  /**
   * Time between two heartbeats of a worker, in milliseconds. 100 to 3,600,000.
   *
   * @default {30_000}
   */
  readonly heartbeat?: number;
  /**
   * Time without a heartbeat after which other workers take over, in milliseconds. 200 to 86,400,000, and at least
   * twice `heartbeat`.
   *
   * @default {180_000}
   */
  readonly heartbeatTimeout?: number;
  /**
   * Time to wait after a read that gave no record, in milliseconds. 200 to 3,600,000.
   *
   * @default {3_000}
   */
  readonly emptyReceiveDelay?: number;
  /**
   * Retries of a failed read of the state table. 0 to 100.
   *
   * @default {3}
   */
  readonly maxDynamoDBRetries?: number;
  /**
   * Retries of a failed read of the stream, before the shard is opened anew. 0 to 100.
   *
   * @default {3}
   */
  readonly maxKinesisRetries?: number;
  /**
   * Time between two looks at the shards of the stream, in milliseconds. 100 to 86,400,000.
   *
   * @default {60_000}
   */
  readonly checkStreamChangesFrequency?: number;
  /**
   * Time between two looks for shards without a live owner, in milliseconds. 100 to 86,400,000.
   *
   * @default {60_000}
   */
  readonly checkUnprocessedShardsFrequency?: number;
  /**
   * Time between two rounds of balancing, in milliseconds; a worker without any shard does not wait. 100 to 86,400,000.
   *
   * @default {180_000}
   */
  readonly loadBalanceFrequency?: number;
  /**
   * Time after which an unanswered request for a shard is taken back, in milliseconds. 200 to 86,400,000, and at least
   * `heartbeatTimeout` + `checkPendingHandoverRequestFrequency`.
   *
   * @default {600_000}
   */
  readonly handoverRequestExpiry?: number;
  /**
   * Time between two looks for requests of other workers, in milliseconds, should the nudge that comes with a request
   * be lost. 100 to 86,400,000.
   *
   * @default {60_000}
   */
  readonly checkPendingHandoverRequestFrequency?: number;
  /**
   * The most records that are read at once. 1 to 10,000.
   *
   * @default {10_000}
   */
  readonly maxBatchSize?: number;
  /**
   * Where a stream begins that this app has never processed: `TRIM_HORIZON` (the oldest record), `LATEST` (from when the first
   * worker starts), or a time.
   *
   * @default {"TRIM_HORIZON"}
   */
  readonly initialPosition?: InitialPosition;
  /**
   * Least time between two checkpoint writes of a shard, in milliseconds. A stop, a handover and the end of a shard always write. 0 to
   * 3,600,000.
   *
   * @default {1_000}
   */
  readonly checkpointFrequency?: number;
  /**
   * Whether a record is finished when `process` returns (`auto`), or when `context.checkpoint()` is called (`manual`).
   *
   * @default {"auto"}
   */
  readonly checkpointMode?: "auto" | "manual";
  /**
   * How the state table is paid for, when this app creates it.
   *
   * @default {"PROVISIONED"}
   */
  readonly billingMode?: "PROVISIONED" | "PAY_PER_REQUEST";
  /**
   * Whether the state table is created when it does not exist.
   *
   * @default {true}
   */
  readonly createTable?: boolean;
  /**
   * The most time that a stop takes, in milliseconds. After it the record in hand is given up, and its next owner gets it again. 100 to
   * 3,600,000.
   *
   * @default {30_000}
   */
  readonly shutdownTimeout?: number;
  /**
   * The most time that an attempt to process a record (or batch) may take, in milliseconds; 0 is no limit. 0 to 86,400,000.
   *
   * @default {0}
   */
  readonly processTimeout?: number;
}

/** Every setting with a checked value. */
export type ResolvedConfig =
  & Readonly<Required<Omit<ReactoKinesixConfig, "initialPosition">>>
  & { readonly initialPosition: "TRIM_HORIZON" | "LATEST" | number };

/** What a setting accepts. */
export type SettingType =
  | { readonly kind: "duration"; readonly min: number; readonly max: number }
  | { readonly kind: "count"; readonly min: number; readonly max: number }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "boolean" }
  | { readonly kind: "text"; readonly pattern: RegExp; readonly words: string }
  | { readonly kind: "position" };

/** A row of the table of settings. */
export interface Setting {
  readonly name: keyof ReactoKinesixConfig;
  /** The flag without its dashes, such as `heartbeat-timeout`. The environment has it as `KINESIX_HEARTBEAT_TIMEOUT`. */
  readonly flag: string;
  readonly type: SettingType;
  readonly defaultValue: string | number | boolean;
  /** One line for `--help` and the README. */
  readonly doc: string;
}

const DAY = 86_400_000;
const HOUR = 3_600_000;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

const TABLE: { readonly [K in keyof ResolvedConfig]: Omit<Setting, "name" | "flag"> } = {
  dynamoDBReadThroughput: count(1, 40_000, 10, "read capacity units of the state table"),
  dynamoDBWriteThroughput: count(1, 40_000, 10, "write capacity units of the state table"),
  dynamoDBTableSuffix: {
    type: {
      kind: "text",
      pattern: /^[A-Za-z0-9_.-]{1,200}$/,
      words: "1 to 200 letters, digits, _, - or .",
    },
    defaultValue: "KinesisState",
    doc: "what follows the app name in the name of the state table",
  },
  heartbeat: duration(100, HOUR, 30_000, "time between two heartbeats of a worker"),
  heartbeatTimeout: duration(200, DAY, 180_000, "silence after which others take over"),
  emptyReceiveDelay: duration(200, HOUR, 3_000, "wait after a read that gave no record"),
  maxDynamoDBRetries: count(0, 100, 3, "retries of a failed read of the state table"),
  maxKinesisRetries: count(0, 100, 3, "retries of a failed read of the stream"),
  checkStreamChangesFrequency: duration(
    100,
    DAY,
    60_000,
    "how often the stream's shards are listed",
  ),
  checkUnprocessedShardsFrequency: duration(
    100,
    DAY,
    60_000,
    "how often shards without a live owner are looked for",
  ),
  loadBalanceFrequency: duration(
    100,
    DAY,
    180_000,
    "how often shards are asked for to even the load",
  ),
  handoverRequestExpiry: duration(200, DAY, 600_000, "when an unanswered request is taken back"),
  checkPendingHandoverRequestFrequency: duration(
    100,
    DAY,
    60_000,
    "how often requests are looked for, should a nudge be lost",
  ),
  maxBatchSize: count(1, 10_000, 10_000, "the most records that are read at once"),
  initialPosition: {
    type: { kind: "position" },
    defaultValue: "TRIM_HORIZON",
    doc: "where a stream that the app never processed begins",
  },
  checkpointFrequency: duration(
    0,
    HOUR,
    1_000,
    "least time between two checkpoint writes of a shard",
  ),
  checkpointMode: choice(
    ["auto", "manual"],
    "auto",
    "a record is finished when process() returns, or when checkpoint() is called",
  ),
  billingMode: choice(
    ["PROVISIONED", "PAY_PER_REQUEST"],
    "PROVISIONED",
    "how a state table that this app creates is paid for",
  ),
  createTable: {
    type: { kind: "boolean" },
    defaultValue: true,
    doc: "create the state table when it does not exist",
  },
  shutdownTimeout: duration(100, HOUR, 30_000, "the most time that a stop takes"),
  processTimeout: duration(0, DAY, 0, "the most time for one attempt to process; 0 is no limit"),
};

/** Every setting, in the order in which people read them. */
export const SETTINGS: readonly Setting[] = Object.entries(TABLE).map(([name, row]) => ({
  name: name as keyof ReactoKinesixConfig,
  flag: name.replace("dynamoDB", "dynamodb").replace("DynamoDB", "Dynamodb")
    .replaceAll(/[A-Z]/g, (letter) => "-" + letter.toLowerCase()),
  ...row,
}));

/**
 * Checks the settings and fills in the defaults.
 *
 * @throws {TypeError} If a name is unknown or a value has the wrong type.
 * @throws {RangeError} If a value is out of range or contradicts another one.
 */
export function resolveConfig(config: ReactoKinesixConfig = {}): ResolvedConfig {
  for (const name of Object.keys(config)) {
    if (!Object.hasOwn(TABLE, name)) {
      throw new TypeError(
        `Cannot use setting "${name}": there is none of that name; there are ` +
          SETTINGS.map((setting) => setting.name).join(", "),
      );
    }
  }
  const resolved = Object.fromEntries(
    SETTINGS.map((setting) => [setting.name, check(setting, config[setting.name])]),
  ) as unknown as ResolvedConfig;
  checkTogether(resolved);
  return resolved;
}

/**
 * Reads the text of a setting, as the command line, the environment and a configuration file have it.
 *
 * @throws {TypeError | RangeError} If it is not a value of that setting.
 */
export function parseSetting(setting: Setting, text: string): unknown {
  switch (setting.type.kind) {
    case "duration":
      return check(setting, parseDuration(text) ?? text);
    case "count":
      return check(setting, /^\d{1,15}$/.test(text.trim()) ? Number(text) : text);
    case "boolean":
      return check(setting, text === "true" ? true : text === "false" ? false : text);
    case "position":
      return check(setting, /^\d{1,15}$/.test(text) ? Number(text) : text);
    case "choice":
    case "text":
      return check(setting, text);
    default:
      return setting.type satisfies never;
  }
}

/** What a setting accepts, in words: `100ms to 1h`. */
export function describeRange(setting: Setting): string {
  const { type } = setting;
  switch (type.kind) {
    case "duration":
      return `${formatDuration(type.min)} to ${formatDuration(type.max)}`;
    case "count":
      return `${type.min} to ${type.max}`;
    case "choice":
      return type.choices.join(" or ");
    case "boolean":
      return "true or false";
    case "text":
      return type.words;
    case "position":
      return "TRIM_HORIZON, LATEST or an ISO time";
    default:
      return type satisfies never;
  }
}

/** The default of a setting as `--help` and the README show it. */
export function describeDefault(setting: Setting): string {
  return setting.type.kind === "duration"
    ? formatDuration(Number(setting.defaultValue))
    : String(setting.defaultValue);
}

/** Where the shards of a stream begin that was never processed, given the time at which it starts. */
export function startingCheckpoint(
  position: ResolvedConfig["initialPosition"],
  now: number,
): Checkpoint {
  // LATEST is made a time once, for the whole stream: a shard whose first owner died before its first checkpoint would
  // otherwise begin later, and skip the records in between.
  if (position === "TRIM_HORIZON") return TRIM_HORIZON;
  return { kind: "timestamp", timestamp: position === "LATEST" ? now : position };
}

function check(setting: Setting, given: unknown): unknown {
  const { name, type } = setting;
  if (given === undefined) return setting.defaultValue;
  switch (type.kind) {
    case "duration":
    case "count": {
      if (typeof given !== "number") throw wrong(TypeError, setting, given);
      const isWhole = type.kind === "duration" || Number.isInteger(given);
      if (isWhole && given >= type.min && given <= type.max) return given;
      throw wrong(RangeError, setting, given);
    }
    case "choice":
      if (typeof given !== "string") throw wrong(TypeError, setting, given);
      if (type.choices.includes(given)) return given;
      throw wrong(RangeError, setting, given);
    case "boolean":
      if (typeof given === "boolean") return given;
      throw wrong(TypeError, setting, given);
    case "text":
      if (typeof given !== "string") throw wrong(TypeError, setting, given);
      if (type.pattern.test(given)) return given;
      throw wrong(RangeError, setting, given);
    case "position": {
      if (given === "TRIM_HORIZON" || given === "LATEST") return given;
      const time = given instanceof Date
        ? given.getTime()
        : typeof given === "string"
        ? parseTime(given)
        : given;
      if (typeof time !== "number") throw wrong(TypeError, setting, given);
      // A date outside these bounds is a mistake of units, not a moment in the life of a stream.
      if (time >= 0 && time <= 253_402_300_799_999) return time;
      throw wrong(RangeError, setting, given);
    }
    default:
      throw new TypeError(`Cannot check setting "${name}": ${type satisfies never}`);
  }
}

/** The platform reads more than ISO times: to it, `LATEST-1` is a day in 2001. */
function parseTime(text: string): number {
  return ISO_TIME.test(text) ? Date.parse(text) : NaN;
}

function wrong(
  kind: new (message: string) => Error,
  setting: Setting,
  given: unknown,
): Error {
  const unit = setting.type.kind === "duration" ? ", in milliseconds in code" : "";
  return new kind(
    `Cannot use setting "${setting.name}": it must be ${describeRange(setting)}${unit}; given ` +
      show(given),
  );
}

/** A value as a message shows it; not everything that can be given is JSON. */
function show(given: unknown): string {
  if (typeof given === "number" || typeof given === "bigint") return String(given);
  if (given instanceof Date) return "an invalid date or one out of range";
  try {
    return JSON.stringify(given)?.slice(0, 100) ?? typeof given;
  } catch {
    return typeof given; // A circle, or a bigint within.
  }
}

function checkTogether(config: ResolvedConfig): void {
  const { heartbeat, heartbeatTimeout, handoverRequestExpiry } = config;
  if (heartbeatTimeout < 2 * heartbeat) {
    throw new RangeError(
      `Cannot use setting "heartbeatTimeout": it must be at least twice "heartbeat" (2 x ` +
        `${
          formatDuration(heartbeat)
        }), or one lost heartbeat costs a live worker its shards; given ` +
        formatDuration(heartbeatTimeout),
    );
  }
  const least = heartbeatTimeout + config.checkPendingHandoverRequestFrequency;
  if (handoverRequestExpiry < least) {
    throw new RangeError(
      `Cannot use setting "handoverRequestExpiry": it must be at least "heartbeatTimeout" + ` +
        `"checkPendingHandoverRequestFrequency" (${formatDuration(least)}), or requests expire ` +
        `before they are seen; given ${formatDuration(handoverRequestExpiry)}`,
    );
  }
}

function duration(
  min: number,
  max: number,
  defaultValue: number,
  doc: string,
): Omit<Setting, "name" | "flag"> {
  return { type: { kind: "duration", min, max }, defaultValue, doc };
}

function count(
  min: number,
  max: number,
  defaultValue: number,
  doc: string,
): Omit<Setting, "name" | "flag"> {
  return { type: { kind: "count", min, max }, defaultValue, doc };
}

function choice(
  choices: readonly string[],
  defaultValue: string,
  doc: string,
): Omit<Setting, "name" | "flag"> {
  return { type: { kind: "choice", choices }, defaultValue, doc };
}
