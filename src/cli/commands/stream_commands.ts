/**
 * Owns: the commands about streams: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import type { Command } from "../command.ts";
import { ENDPOINT, JSON_SWITCH, KINESIS_ENDPOINT, REGION, STREAM } from "../common_flags.ts";
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
    REGION,
    ENDPOINT,
    KINESIS_ENDPOINT,
  ],
  settings: [],
  load: () => import("../put.ts").then((module) => module.put),
};

/** `kinesix consumer list`. */
export const CONSUMER_LIST: Command = {
  name: "consumer list",
  summary: "list the registered consumers of a stream (enhanced fan-out)",
  details: ["AWS charges for each of them by the hour and shard, used or not."],
  examples: ["kinesix consumer list --stream TestStream --region us-east-1"],
  flags: [STREAM, JSON_SWITCH, REGION, ENDPOINT, KINESIS_ENDPOINT],
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
  flags: [STREAM, JSON_SWITCH, REGION, ENDPOINT, KINESIS_ENDPOINT],
  settings: [],
  load: () => import("../consumer.ts").then((module) => module.deregisterConsumer),
};
