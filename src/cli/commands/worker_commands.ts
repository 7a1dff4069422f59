/**
 * Owns: the commands about workers: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import { SETTINGS } from "../../core/config.ts";
import type { Command } from "../command.ts";
import {
  APP,
  AT_STREAM,
  AT_TABLE,
  CONFIG,
  DYNAMODB_ENDPOINT,
  JSON_SWITCH,
  STREAM,
  TABLE_SETTINGS,
} from "../common_flags.ts";
import { ON_FAILURE } from "../failure_flags.ts";
import { matching, oneOf } from "../flags.ts";
import { HEALTH_FLAGS } from "../http/health_flags.ts";
import { HTTP_FLAGS } from "../http/http_flags.ts";
import { LOG_LEVEL_FLAG } from "../log_level.ts";
import { FILTER } from "../pattern_filter.ts";
import { PROCESSOR_FLAGS } from "../processor_flags.ts";
import { METRICS_FLAG } from "../telemetry_outputs.ts";
import { THREAD_FLAGS } from "../thread_flags.ts";

/** `kinesix run`. */
export const RUN: Command = {
  name: "run",
  summary: "process the records of a stream, sharing its shards with the other workers",
  details: [
    "The processor is a module whose default export is a RecordProcessor or a function that makes one",
    "for each shard. SIGINT and SIGTERM stop cleanly, a second one at once.",
  ],
  examples: [
    "kinesix run --app TestApp --stream TestStream --processor ./processor.ts --region us-east-1",
    "kinesix run --app TestApp --stream TestStream --processor ./processor.ts --log json > events.jsonl",
    "kinesix run --app TestApp --stream TestStream --processor https://example.com/processor.ts --lock kinesix.lock --frozen",
  ],
  flags: [
    APP,
    STREAM,
    ...PROCESSOR_FLAGS,
    {
      name: "worker-id",
      placeholder: "W",
      doc: "the name of this worker, different for each process (default: made up)",
      accepts: matching(/^[^\p{Cc}]{1,128}$/u, "1 to 128 characters"),
      isInEnvironment: true,
    },
    FILTER,
    ...THREAD_FLAGS,
    ...HTTP_FLAGS,
    ON_FAILURE,
    ...HEALTH_FLAGS,
    METRICS_FLAG,
    ...AT_STREAM,
    DYNAMODB_ENDPOINT,
    {
      name: "log",
      placeholder: "FORMAT",
      doc: "pretty: for people, on stderr; json: one event a line, on stdout",
      accepts: oneOf("pretty", "json"),
      defaultValue: "pretty",
      isInEnvironment: true,
    },
    LOG_LEVEL_FLAG,
    CONFIG,
  ],
  settings: SETTINGS,
  load: () => import("../run.ts").then((module) => module.run),
};

/** `kinesix status`. */
export const STATUS: Command = {
  name: "status",
  summary: "show the workers and the shards of an app",
  details: [],
  examples: [
    "kinesix status --app TestApp --stream TestStream --watch",
    "kinesix status --app TestApp --stream TestStream --json | jq '.shards[].owner'",
  ],
  flags: [
    APP,
    STREAM,
    JSON_SWITCH,
    { name: "watch", doc: "show it again every 2 seconds; with --json one object a line" },
    ...AT_TABLE,
  ],
  settings: TABLE_SETTINGS,
  load: () => import("../status.ts").then((module) => module.status),
};
