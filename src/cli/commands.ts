/**
 * Owns: the table of commands: their flags, their help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `main.ts` and `help.ts`.
 *
 * @module
 */

import { SETTINGS } from "../core/config.ts";
import { type Flag, HTTP_URL, matching, oneOf, wholeNumber } from "./flags.ts";
import { PROCESSOR_FLAGS } from "./processor_flags.ts";
import { FILTER } from "./pattern_filter.ts";
import { THREAD_FLAGS } from "./thread_flags.ts";
import type { Terminal } from "./terminal.ts";
import type { Accepted, Values } from "./values.ts";

/** The code of a command; gives the exit code. */
export type CommandCode = (values: Values, terminal: Terminal) => Promise<number>;

/** A command. */
export interface Command extends Accepted {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the summary in the help of the command. */
  readonly details: readonly string[];
  readonly examples: readonly string[];
  load(): Promise<CommandCode>;
}

const STREAM: Flag = {
  name: "stream",
  placeholder: "S",
  doc: "the name of the stream",
  accepts: matching(/^[A-Za-z0-9_.-]{1,128}$/, "1 to 128 letters, digits, _, - or ."),
  isRequired: true,
  isInEnvironment: true,
};

const APP: Flag = {
  name: "app",
  placeholder: "A",
  doc: "the name of the app; workers with the same one share the stream",
  accepts: matching(/^[A-Za-z0-9_.-]{1,55}$/, "1 to 55 letters, digits, _, - or ."),
  isRequired: true,
  isInEnvironment: true,
};

const JSON_SWITCH: Flag = { name: "json", doc: "print JSON, for programs" };

const REGION: Flag = {
  name: "region",
  placeholder: "R",
  doc: "the AWS region (or AWS_REGION, or that of the AWS profile)",
  accepts: matching(/^[a-z0-9-]{1,40}$/, "the name of a region, such as us-east-1"),
  isInEnvironment: true,
};

const ENDPOINT: Flag = {
  name: "endpoint-url",
  placeholder: "URL",
  doc: "Kinesis and DynamoDB are here instead of in the AWS cloud",
  accepts: HTTP_URL,
  isInEnvironment: true,
};

const KINESIS_ENDPOINT: Flag = {
  ...ENDPOINT,
  name: "kinesis-endpoint",
  doc: "Kinesis is here instead of in the AWS cloud",
};

const DYNAMODB_ENDPOINT: Flag = {
  ...ENDPOINT,
  name: "dynamodb-endpoint",
  doc: "DynamoDB is here instead of in the AWS cloud",
};

const CONFIG: Flag = {
  name: "config",
  placeholder: "FILE.json",
  doc: 'a file of settings, such as {"heartbeat": "10s"}; flags and environment come first',
  isInEnvironment: true,
};

const RUN: Command = {
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
    REGION,
    ENDPOINT,
    KINESIS_ENDPOINT,
    DYNAMODB_ENDPOINT,
    {
      name: "log",
      placeholder: "FORMAT",
      doc: "pretty: for people, on stderr; json: one event a line, on stdout",
      accepts: oneOf("pretty", "json"),
      defaultValue: "pretty",
      isInEnvironment: true,
    },
    CONFIG,
  ],
  settings: SETTINGS,
  load: () => import("./run.ts").then((module) => module.run),
};

const STATUS: Command = {
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
    REGION,
    ENDPOINT,
    DYNAMODB_ENDPOINT,
    CONFIG,
  ],
  settings: SETTINGS.filter((setting) => setting.name === "dynamoDBTableSuffix"),
  load: () => import("./status.ts").then((module) => module.status),
};

const PUT: Command = {
  name: "put",
  summary: "put the lines of stdin into a stream, one record for each",
  details: [
    "Lines of the same partition key keep their order. To warrant that, no request holds two records of",
    "one key, so that --partition-key sends line by line; random keys go 500 at a time.",
  ],
  examples: ["seq 1000 | kinesix put --stream TestStream --region us-east-1"],
  flags: [
    STREAM,
    {
      name: "partition-key",
      placeholder: "K",
      doc: "the partition key of every record (default: a random one for each)",
      accepts: matching(/^.{1,256}$/su, "1 to 256 characters"),
      isInEnvironment: true,
    },
    JSON_SWITCH,
    REGION,
    ENDPOINT,
    KINESIS_ENDPOINT,
  ],
  settings: [],
  load: () => import("./put.ts").then((module) => module.put),
};

const LOCAL: Command = {
  name: "local",
  summary: "run a local Kinesis and a local DynamoDB until stopped",
  details: [
    "Both listen on this machine only and keep everything in memory. Any credentials will do.",
  ],
  examples: ["kinesix local --stream TestStream --shards 4"],
  flags: [
    portFlag("kinesis-port", "4567"),
    portFlag("dynamodb-port", "8000"),
    { ...STREAM, doc: "a stream to create", isRequired: false, isInEnvironment: false },
    {
      name: "shards",
      placeholder: "N",
      doc: "the shards of that stream",
      accepts: wholeNumber(1, 500),
      defaultValue: "1",
    },
    { ...JSON_SWITCH, doc: "print the endpoints as one line of JSON" },
  ],
  settings: [],
  load: () => import("./local.ts").then((module) => module.local),
};

const DEMO: Command = {
  name: "demo",
  summary: "show the whole of it on this machine in less than a minute",
  details: [
    "Starts a local Kinesis and DynamoDB, puts records, processes them with several worker processes,",
    "stops one of them half-way and starts another, and checks that nothing was lost or out of order.",
  ],
  examples: ["kinesix demo", "kinesix demo --shards 8 --workers 3 --json"],
  flags: [
    numberFlag("shards", "the shards of the stream", [1, 64, 4]),
    numberFlag("records", "the records to put and process", [1, 1_000_000, 20_000]),
    numberFlag("workers", "the worker processes", [1, 16, 2]),
    { ...JSON_SWITCH, doc: "print the summary as one line of JSON" },
  ],
  settings: [],
  load: () => import("./demo.ts").then((module) => module.demo),
};

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [RUN, STATUS, PUT, LOCAL, DEMO];

function portFlag(name: string, defaultValue: string): Flag {
  return {
    name,
    placeholder: "P",
    doc: "a port; 0 takes a free one",
    accepts: wholeNumber(0, 65_535),
    defaultValue,
  };
}

function numberFlag(
  name: string,
  doc: string,
  [min, max, defaultValue]: readonly [number, number, number],
): Flag {
  return {
    name,
    placeholder: "N",
    doc,
    accepts: wholeNumber(min, max),
    defaultValue: String(defaultValue),
  };
}
