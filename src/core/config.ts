/**
 * Owns: every setting, once: its default, unit, range and meaning. Code, flags, environment, `--help` and `docs/settings.md` read it here.
 * Must not: read flags or the environment; it is given values.
 * Called by: `app.ts` and the command line.
 *
 * @module
 */

import { type Checkpoint, TRIM_HORIZON } from "./checkpoint.ts";
import { checkTogether } from "./config_checks.ts";
import { checkSetting, choice, count, duration, type Setting, type SettingRow } from "./setting.ts";

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
   * The most records that are read at once, and that `processBatch` gets at once. 1 to 10,000.
   *
   * @default {10_000}
   */
  readonly maxBatchSize?: number;
  /**
   * Whether the records that the Kinesis Producer Library (KPL) packed into one are delivered one by one.
   *
   * @default {true}
   */
  readonly deaggregate?: boolean;
  /**
   * The most memory for records that are read and not finished, of all shards of this process together, in bytes. 1 MiB to 64 GiB.
   *
   * @default {67_108_864}
   */
  readonly maxBufferedBytes?: number;
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
  /**
   * The most records of one shard (batches, with `processBatch`) in the hands of the processor at the same time. 1 to 1,000.
   *
   * @default {1}
   */
  readonly concurrency?: number;
  /**
   * Which records stay in order when `concurrency` is more than 1: those of one partition key, or none. `shard`: all of a shard,
   * one after the other; it needs `concurrency` 1, where every shard is in order in any case.
   *
   * @default {"partitionKey"}
   */
  readonly orderBy?: "partitionKey" | "shard" | "none";
  /**
   * The most records that `processBatch` gets at once. 1 to 10,000.
   *
   * @default {10_000}
   */
  readonly batchSize?: number;
  /**
   * How long records are collected for `processBatch`, from the first one on, unless there are `batchSize` before, in milliseconds. 0
   * gives it what a read brings. 0 to 300,000.
   *
   * @default {0}
   */
  readonly batchWindow?: number;
  /**
   * Whether a batch whose `processBatch` throws is cut in two, again and again, until the record that fails is alone.
   *
   * @default {false}
   */
  readonly bisectBatchOnError?: boolean;
  /**
   * How old a record may be when it is processed, or tried again, in milliseconds; an older one is given up, whatever its mode
   * is. 0 is no limit. It compares the clock of this machine with the stream's. 0 to 31,536,000,000 (365 days).
   *
   * @default {0}
   */
  readonly maxRecordAge?: number;
  /**
   * How records are read: by `GetRecords`, up to 5 times a second and shared with other readers of the shard (`polling`), or sent by
   * Kinesis as soon as they are there, to a registered consumer of this app, which AWS charges for (`fan-out`).
   *
   * @default {"polling"}
   */
  readonly retrieval?: "polling" | "fan-out";
  /**
   * The name of the registered consumer with `retrieval` `fan-out`; empty is the name of the app. 0 to 128 letters, digits, `_`,
   * `-` or `.`. Workers of one app need the same one, and different apps different ones.
   *
   * @default {""}
   */
  readonly consumerName?: string;
}

/** Every setting with a checked value. */
export type ResolvedConfig =
  & Readonly<Required<Omit<ReactoKinesixConfig, "initialPosition">>>
  & { readonly initialPosition: "TRIM_HORIZON" | "LATEST" | number };

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;

const TABLE: { readonly [K in keyof ResolvedConfig]: SettingRow } = {
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
  maxBatchSize: count(
    1,
    10_000,
    10_000,
    "the most records that are read, and given to processBatch, at once",
  ),
  deaggregate: {
    type: { kind: "boolean" },
    defaultValue: true,
    doc: "deliver the records that the KPL packed into one, one by one",
  },
  maxBufferedBytes: {
    type: { kind: "size", min: 2 ** 20, max: 2 ** 36 },
    defaultValue: 2 ** 26,
    doc: "the most memory for records in hand, of all shards together",
  },
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
  concurrency: count(1, 1_000, 1, "the most records of one shard that are processed at once"),
  orderBy: choice(
    ["partitionKey", "shard", "none"],
    "partitionKey",
    "which records stay in order when several are processed at once",
  ),
  batchSize: count(1, 10_000, 10_000, "the most records that processBatch() gets at once"),
  batchWindow: duration(0, 5 * MINUTE, 0, "how long records are collected for processBatch()"),
  bisectBatchOnError: {
    type: { kind: "boolean" },
    defaultValue: false,
    doc: "cut a batch that fails in two, until the record that fails is alone",
  },
  maxRecordAge: duration(0, 365 * DAY, 0, "give up records that are older; 0 is no limit"),
  retrieval: choice(
    ["polling", "fan-out"],
    "polling",
    "records are asked for, or sent to a registered consumer (enhanced fan-out)",
  ),
  consumerName: {
    type: {
      kind: "text",
      pattern: /^[A-Za-z0-9_.-]{0,128}$/,
      words: "0 to 128 letters, digits, _, - or .",
    },
    defaultValue: "",
    doc: "the registered consumer of enhanced fan-out, if not named as the app",
  },
};

/** Every setting, in the order in which people read them. */
export const SETTINGS: readonly Setting<keyof ReactoKinesixConfig>[] = Object.entries(TABLE).map((
  [name, row],
) => ({
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
    SETTINGS.map((setting) => [setting.name, checkSetting(setting, config[setting.name])]),
  ) as unknown as ResolvedConfig;
  checkTogether(resolved);
  return resolved;
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
