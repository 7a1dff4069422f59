/**
 * Owns: the commands about streams: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import type { Command } from "../command.ts";
import {
  APP,
  ENDPOINT,
  JSON_SWITCH,
  KINESIS_ENDPOINT,
  REGION,
  SHARD,
  SHARD_NAME,
  STREAM,
} from "../common_flags.ts";
import { FAILURE_PLACE, ISO_TIME } from "../failure_flags.ts";
import { ANY_POSITION } from "../checkpoints/position.ts";
import { matching, wholeNumber } from "../flags.ts";

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
    REGION,
    ENDPOINT,
    KINESIS_ENDPOINT,
  ],
  settings: [],
  load: () => import("../redrive.ts").then((module) => module.redrive),
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
      doc: "only records with this text in their payload or partition key",
    },
    {
      name: "limit",
      placeholder: "N",
      doc: "end after so many records",
      accepts: wholeNumber(1, 1_000_000_000),
    },
    JSON_SWITCH,
    REGION,
    ENDPOINT,
    KINESIS_ENDPOINT,
  ],
  settings: [],
  load: () => import("../tail.ts").then((module) => module.tail),
};
