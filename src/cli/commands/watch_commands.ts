/**
 * Owns: the commands that look at a stream or a cluster from outside: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import { type ReactoKinesixConfig, SETTINGS } from "../../core/config.ts";
import { ANY_POSITION, parsePosition } from "../checkpoints/position.ts";
import type { Command } from "../command.ts";
import {
  APP,
  AT_STREAM,
  AT_TABLE,
  CONFIG,
  JSON_SWITCH,
  SHARD,
  SHARD_NAME,
  STREAM,
  TABLE_SETTINGS,
} from "../common_flags.ts";
import { ON_FAILURE } from "../failure_flags.ts";
import { type Accepts, wholeNumber } from "../flags.ts";
import { FILTER } from "../pattern_filter.ts";
import { PROCESSOR_FLAGS } from "../processor_flags.ts";
import { THREAD_FLAGS } from "../thread_flags.ts";

/** `kinesix explain`. */
export const EXPLAIN: Command = {
  name: "explain",
  summary: "tell why a shard is where it is, and what the workers would do with it",
  details: [
    "From the state table alone: the owner and whether it is alive, how the shard came to it, its checkpoint,",
    "orders and requests, what it waits for, and what each worker would do at its next look.",
    "Which workers are alive is guessed by their clocks and this machine's.",
    "With --json one object: situation tells the case in a word, workers the stance of each.",
  ],
  args: [SHARD],
  examples: ["kinesix explain 3 --app TestApp --stream TestStream"],
  flags: [APP, STREAM, JSON_SWITCH, ...AT_TABLE],
  settings: TABLE_SETTINGS,
  load: () => import("../explain.ts").then((module) => module.explain),
};

/** `kinesix tail`. */
export const TAIL: Command = {
  name: "tail",
  summary: "show the records of a stream as they come",
  details: [
    "Needs no app and no state table, and disturbs no worker; but it reads, and the consumers of a shard",
    "share 5 reads and 2 MB a second. Records of the KPL are shown one by one. Each is one line: when it",
    "arrived, its shard, its partition key, its payload. With --json a line is an object with shardId,",
    "sequenceNumber, subSequenceNumber (in an aggregate), partitionKey, approximateArrivalTimestamp, data,",
    "and encoding, which tells what data is: json, text or base64. Shards are merged by arrival as far as",
    "that can be had; the records of one key are in order.",
  ],
  examples: [
    "kinesix tail --stream TestStream",
    "kinesix tail --stream TestStream --from 10m --no-follow --filter customer-1 --json | jq .data",
    "kinesix tail --stream TestStream --shard 3 --from trim-horizon --limit 10",
  ],
  flags: [
    STREAM,
    {
      name: "shard",
      placeholder: SHARD.name,
      doc: `only this one: ${SHARD.doc}`,
      accepts: SHARD_NAME,
    },
    {
      name: "from",
      placeholder: "POSITION",
      doc: "where to begin",
      accepts: ANY_POSITION,
      defaultValue: "latest",
    },
    { name: "no-follow", doc: "end where the stream ends now, instead of waiting for more" },
    {
      name: "filter",
      placeholder: "TEXT",
      doc:
        "only records with this text in their payload or partition key, or, if it begins with {, those " +
        "that match this event pattern, as in kinesix run",
    },
    {
      name: "limit",
      placeholder: "N",
      doc: "end after so many records",
      accepts: wholeNumber(1, 1_000_000_000),
    },
    JSON_SWITCH,
    ...AT_STREAM,
  ],
  settings: [],
  load: () => import("../tail.ts").then((module) => module.tail),
};

const TIME: Accepts = {
  words: "trim-horizon, now, an ISO time, or a time ago such as 2h",
  test: (text) =>
    text === "now" || parsePosition(text, 0)?.kind !== "sequence" && ANY_POSITION.test(text),
};

/** What is about a worker among others, or about the state table, means nothing here. */
const REPLAY_SETTINGS: ReadonlySet<keyof ReactoKinesixConfig> = new Set<keyof ReactoKinesixConfig>([
  ...["maxKinesisRetries", "maxBatchSize", "maxBufferedBytes", "deaggregate"] as const,
  ...["checkpointFrequency", "checkpointMode", "shutdownTimeout", "processTimeout"] as const,
  ...["concurrency", "orderBy", "batchSize", "batchWindow", "bisectBatchOnError"] as const,
]);

/** `kinesix replay`. */
export const REPLAY: Command = {
  name: "replay",
  summary: "run a processor over a range of time of a stream, once",
  details: [
    "Needs no app, no state table and no other worker, and moves no checkpoint. Every shard with records in",
    "the range is read, parents before children; order, retries, batches and threads are as in kinesix run.",
    "shardEnded is called where the range of a shard ends. The consumers of a shard share 5 reads and 2 MB a",
    "second. A signal stops it cleanly, and it tells from where to go on.",
    "With --json one object: streamName, from, to, isComplete, shards, shardsDone, records, failed, stopped",
    "(shardId, checkpoint, reason), unfinished (shardId, checkpoint), resumeFrom, seconds.",
    "The exit code is 1 when a record failed, a shard stopped, or the range is not done.",
  ],
  examples: [
    "kinesix replay --stream TestStream --from 3h --to 1h --processor ./processor.ts",
    "kinesix replay --stream TestStream --from 2026-01-31T12:00:00Z --to 2026-01-31T12:30:00Z --processor ./processor.ts --concurrency 16",
  ],
  flags: [
    STREAM,
    {
      name: "from",
      placeholder: "TIME",
      doc: "records that arrived then or later; trim-horizon is the oldest that the stream holds",
      accepts: TIME,
      isRequired: true,
    },
    {
      name: "to",
      placeholder: "TIME",
      doc: "records that arrived before then; not in the future",
      accepts: TIME,
      defaultValue: "now",
    },
    ...PROCESSOR_FLAGS.filter(({ name }) => name !== "watch-processor"),
    ...THREAD_FLAGS,
    FILTER,
    ON_FAILURE,
    JSON_SWITCH,
    ...AT_STREAM,
    CONFIG,
  ],
  settings: SETTINGS.filter(({ name }) => REPLAY_SETTINGS.has(name)),
  load: () => import("../replay.ts").then((module) => module.replay),
};
