/**
 * Owns: the commands that look at a set-up, or print what one needs: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import { type ReactoKinesixConfig, SETTINGS } from "../../core/config.ts";
import type { Setting } from "../../core/setting.ts";
import type { Command } from "../command.ts";
import {
  APP,
  AT_BOTH,
  JSON_SWITCH,
  numberFlag,
  REGION,
  STREAM,
  TABLE_SETTINGS,
} from "../common_flags.ts";
import { FAILURE_PLACE } from "../failure_flags.ts";
import { type Flag, matching, oneOf, timeFrom, wholeNumber } from "../flags.ts";

/** Which settings are flags of a command that does not take all of them. */
function settings(
  ...names: readonly (keyof ReactoKinesixConfig)[]
): readonly Setting<keyof ReactoKinesixConfig>[] {
  return SETTINGS.filter(({ name }) => names.includes(name));
}

/** `kinesix doctor`. */
export const DOCTOR: Command = {
  name: "doctor",
  summary: "look for what is wrong with a set-up, and say what to do about it",
  details: [
    "Credentials and each permission, the stream, its retention and lag, the state table and its",
    "throughput, the clock, the workers, and shards that nobody has. Give it the settings of the workers.",
    "It changes nothing. The exit code is 1 if there is a problem.",
  ],
  examples: [
    "kinesix doctor --app TestApp --stream TestStream --region us-east-1",
    "kinesix doctor --app TestApp --stream TestStream --json | jq '.checks[] | select(.verdict != \"ok\")'",
  ],
  flags: [
    APP,
    STREAM,
    {
      name: "on-failure",
      placeholder: "PLACE",
      doc: "where failure records go: look at that stream too",
      accepts: FAILURE_PLACE,
      isInEnvironment: true,
    },
    {
      name: "looks-apart",
      placeholder: "TIME",
      doc:
        "time between two looks at the rows: whoever moves in it is alive, what stays may be stuck",
      accepts: timeFrom(0, 600_000),
      defaultValue: "3s",
    },
    { name: "verbose", doc: "tell what is well too" },
    JSON_SWITCH,
    ...AT_BOTH,
  ],
  settings: SETTINGS,
  load: () => import("../doctor.ts").then((module) => module.doctor),
};

/** A cluster that is looked at is named in the call, and not by an environment that is for workers. */
const LIVE = { isRequired: false, isInEnvironment: false } as const;

/** `kinesix cost`. */
export const COST: Command = {
  name: "cost",
  summary: "show what a cluster costs a month, with the arithmetic",
  details: [
    "Of Kinesis and DynamoDB, from the numbers given; with --app and --stream from a cluster: its shards,",
    "workers, stream and table, where they are not given.",
  ],
  examples: [
    "kinesix cost --shards 20 --workers 4 --records-per-second 5000 --record-bytes 800",
    "kinesix cost --app TestApp --stream TestStream --region us-east-1 --retrieval fan-out",
  ],
  flags: [
    { ...STREAM, ...LIVE, doc: "look at this stream" },
    { ...APP, ...LIVE, doc: "look at the state table of this app" },
    numberOf("shards", "the number of open shards", 10_000),
    numberOf("workers", "the number of workers (default: 1)", 10_000),
    numberFlag("records-per-second", "of all shards together", [0, 1_000_000_000, 0]),
    numberFlag("record-bytes", "the size of a record", [1, 10_485_760, 1_000]),
    {
      name: "stream-mode",
      placeholder: "M",
      doc: "provisioned or on-demand (default: provisioned)",
      accepts: oneOf("provisioned", "on-demand"),
    },
    {
      name: "prices",
      placeholder: "FILE.json",
      doc: 'other prices than those of us-east-1, such as {"shardHour": 0.018}',
    },
    JSON_SWITCH,
    ...AT_BOTH,
  ],
  settings: settings(
    "dynamoDBTableSuffix",
    "billingMode",
    "dynamoDBReadThroughput",
    "dynamoDBWriteThroughput",
    "heartbeat",
    "heartbeatTimeout",
    "checkpointFrequency",
    "checkStreamChangesFrequency",
    "checkUnprocessedShardsFrequency",
    "checkPendingHandoverRequestFrequency",
    "handoverRequestExpiry",
    "retrieval",
  ),
  load: () => import("../cost.ts").then((module) => module.cost),
};

function numberOf(name: string, doc: string, max: number): Flag {
  return { name, placeholder: "N", doc, accepts: wholeNumber(1, max) };
}

const COMMAND: Flag = {
  name: "command",
  placeholder: "C",
  doc:
    "run (a worker), status, steer (shard, checkpoint), put, tail, replay, redrive, consumer or doctor",
  accepts: oneOf(
    ...["run", "status", "steer", "put", "tail", "replay", "redrive", "consumer", "doctor"],
  ),
  defaultValue: "run",
};

/** `kinesix iam print`. */
export const IAM_PRINT: Command = {
  name: "iam print",
  summary: "print the least IAM policy for a worker, or for another command",
  details: ["Nothing is called, and nothing is changed."],
  examples: [
    "kinesix iam print --app TestApp --stream TestStream --region us-east-1 --account 123456789012",
    "kinesix iam print --app TestApp --stream TestStream --region us-east-1 --account 123456789012 --command steer",
  ],
  flags: [
    APP,
    STREAM,
    { ...REGION, doc: "the AWS region", isRequired: true },
    {
      name: "account",
      placeholder: "N",
      doc: "the AWS account",
      accepts: matching(/^\d{12}$/, "12 digits"),
      isRequired: true,
    },
    COMMAND,
    { name: "fan-out", doc: "the worker reads through a registered consumer" },
    { name: "create-table", doc: "it may create the state table, and set its throughput" },
    {
      name: "on-failure",
      placeholder: "PLACE",
      doc: "where failure records go; for redrive, where they are",
      accepts: FAILURE_PLACE,
    },
    {
      name: "from-kcl",
      placeholder: "TABLE",
      doc: "the lease table of the KCL that checkpoints are taken from",
      accepts: matching(/^[A-Za-z0-9_.-]{3,255}$/, "3 to 255 letters, digits, _, - or ."),
    },
    { ...JSON_SWITCH, doc: "print it as one line" },
  ],
  settings: TABLE_SETTINGS,
  load: () => import("../iam.ts").then((module) => module.printPolicy),
};

/** The characters that AWS allows in the tags of every service. */
const TAG = "[\\p{L}\\p{N} +._:/@-]{1,128}=[\\p{L}\\p{N} +._:/@-]{0,256}";

/** `kinesix table print`. */
export const TABLE_PRINT: Command = {
  name: "table print",
  summary: "print the state table for CloudFormation, Terraform or the AWS CLI",
  details: [
    "With point-in-time recovery and deletion protection. Create it, and run the workers with",
    "--create-table false and the same settings of the table. Nothing is called.",
  ],
  examples: [
    "kinesix table print --app TestApp --format cloudformation --billing-mode PAY_PER_REQUEST > table.yaml",
    "kinesix table print --app TestApp --format terraform --tags team=orders,stage=live",
  ],
  flags: [
    APP,
    {
      name: "format",
      placeholder: "F",
      doc: "cloudformation, terraform or json (aws dynamodb create-table --cli-input-json)",
      accepts: oneOf("cloudformation", "terraform", "json"),
      defaultValue: "cloudformation",
    },
    {
      name: "tags",
      placeholder: "K=V,...",
      doc: "tags of the table, besides kinesix-app, which says which app it is of",
      accepts: matching(
        new RegExp(`^${TAG}(,${TAG}){0,48}$`, "u"),
        "up to 49 pairs such as team=orders,stage=live",
      ),
    },
    { ...JSON_SWITCH, doc: "the same as --format json" },
  ],
  settings: settings(
    "dynamoDBTableSuffix",
    "billingMode",
    "dynamoDBReadThroughput",
    "dynamoDBWriteThroughput",
  ),
  load: () => import("../table.ts").then((module) => module.printTable),
};
