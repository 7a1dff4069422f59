/**
 * Owns: the commands about streams: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { APP, AT_STREAM, JSON_SWITCH, STREAM } from "../common_flags.ts";
import { FAILURE_PLACE, ISO_TIME } from "../failure_flags.ts";
import { matching } from "../flags.ts";

/** `kinesix put`. */
export const PUT: Command = {
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
    ...AT_STREAM,
  ],
  settings: [],
  load: () => import("../put.ts").then((module) => module.put),
};

/** `kinesix redrive`. */
export const REDRIVE: Command = {
  name: "redrive",
  summary: "put records that were given up back into their stream",
  details: [
    "Reads the failure records that --on-failure wrote, as many as there are when it starts, and puts each",
    "record back as it was, under its partition key. What was put back is noted in the file of --marks, so",
    "that the next call goes on after it; when a call is cut off, up to 500 records may come twice.",
  ],
  examples: [
    "kinesix redrive --from file:failures.jsonl --stream TestStream --dry-run",
    "kinesix redrive --from kinesis:TestStream-failed --stream TestStream --error TypeError --since 2026-01-31T00:00:00Z",
  ],
  flags: [
    {
      name: "from",
      placeholder: "PLACE",
      doc: "where the failure records are: file:PATH or kinesis:STREAM",
      accepts: FAILURE_PLACE,
      isRequired: true,
      isInEnvironment: true,
    },
    { ...STREAM, doc: "the stream to put them back into; those from other streams stay out" },
    { name: "any-stream", doc: "put back those from other streams, too" },
    {
      ...APP,
      doc: "only records that this app gave up",
      isRequired: false,
      isInEnvironment: false,
    },
    {
      name: "shard",
      placeholder: "SHARD",
      doc: "only records of this shard",
      accepts: matching(/^[A-Za-z0-9_.-]{1,128}$/, "the id of a shard"),
    },
    {
      name: "error",
      placeholder: "TEXT",
      doc: "only records with this text in the name or the message of their error",
    },
    {
      name: "since",
      placeholder: "TIME",
      doc: "only records that were given up then or later, such as 2026-01-31T12:00:00Z",
      accepts: ISO_TIME,
    },
    {
      name: "until",
      placeholder: "TIME",
      doc: "only records that were given up before then",
      accepts: ISO_TIME,
    },
    { name: "dry-run", doc: "print what would be put back, and put nothing" },
    {
      name: "marks",
      placeholder: "FILE",
      doc: "where to note what was put back (default: PATH.redriven or STREAM.redriven)",
    },
    JSON_SWITCH,
    ...AT_STREAM,
  ],
  settings: [],
  load: () => import("../redrive.ts").then((module) => module.redrive),
};

/** `kinesix consumer list`. */
export const CONSUMER_LIST: Command = {
  name: "consumer list",
  summary: "list the registered consumers of a stream (enhanced fan-out)",
  details: ["AWS charges for each of them by the hour and shard, used or not."],
  examples: ["kinesix consumer list --stream TestStream --region us-east-1"],
  flags: [STREAM, JSON_SWITCH, ...AT_STREAM],
  settings: [],
  load: () => import("../consumer.ts").then((module) => module.listConsumers),
};

/** `kinesix consumer deregister`. */
export const CONSUMER_DEREGISTER: Command = {
  name: "consumer deregister",
  summary: "deregister a consumer that is not used any more",
  details: [
    "Stop the workers of its app first, or change them to --retrieval polling: those that read as this",
    "consumer register it again. No record and no checkpoint is lost.",
  ],
  examples: ["kinesix consumer deregister TestApp --stream TestStream --region us-east-1"],
  args: [{
    name: "NAME",
    doc: "the name of the consumer: that of the app, unless --consumer-name named it",
    accepts: matching(/^[A-Za-z0-9_.-]{1,128}$/, "1 to 128 letters, digits, _, - or ."),
  }],
  flags: [STREAM, JSON_SWITCH, ...AT_STREAM],
  settings: [],
  load: () => import("../consumer.ts").then((module) => module.deregisterConsumer),
};
