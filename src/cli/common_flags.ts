/**
 * Owns: the flags that several commands share.
 * Must not: read them.
 * Called by: the tables of commands.
 *
 * @module
 */

import { type ReactoKinesixConfig, SETTINGS } from "../core/config.ts";
import type { Setting } from "../core/setting.ts";
import {
  type Accepts,
  type Argument,
  type Flag,
  HTTP_URL,
  matching,
  timeFrom,
  wholeNumber,
} from "./flags.ts";

/** Which stream. */
export const STREAM: Flag = {
  name: "stream",
  placeholder: "S",
  doc: "the name of the stream",
  accepts: matching(/^[A-Za-z0-9_.-]{1,128}$/, "1 to 128 letters, digits, _, - or ."),
  isRequired: true,
  isInEnvironment: true,
};

/** Which app. */
export const APP: Flag = {
  name: "app",
  placeholder: "A",
  doc: "the name of the app; workers with the same one share the stream",
  accepts: matching(/^[A-Za-z0-9_.-]{1,55}$/, "1 to 55 letters, digits, _, - or ."),
  isRequired: true,
  isInEnvironment: true,
};

/** For programs. */
export const JSON_SWITCH: Flag = { name: "json", doc: "print JSON, for programs" };

/** Where in the AWS cloud. */
export const REGION: Flag = {
  name: "region",
  placeholder: "R",
  doc: "the AWS region (or AWS_REGION, or that of the AWS profile)",
  accepts: matching(/^[a-z0-9-]{1,40}$/, "the name of a region, such as us-east-1"),
  isInEnvironment: true,
};

/** Where both services are. */
const ENDPOINT: Flag = {
  name: "endpoint-url",
  placeholder: "URL",
  doc: "Kinesis and DynamoDB are here instead of in the AWS cloud",
  accepts: HTTP_URL,
  isInEnvironment: true,
};

/** Where Kinesis is. */
const KINESIS_ENDPOINT: Flag = {
  ...ENDPOINT,
  name: "kinesis-endpoint",
  doc: "Kinesis is here instead of in the AWS cloud",
};

/** Where DynamoDB is. */
export const DYNAMODB_ENDPOINT: Flag = {
  ...ENDPOINT,
  name: "dynamodb-endpoint",
  doc: "DynamoDB is here instead of in the AWS cloud",
};

/** The settings that say where the state table is. */
export const TABLE_SETTINGS: readonly Setting<keyof ReactoKinesixConfig>[] = SETTINGS.filter((
  { name },
) => name === "dynamoDBTableSuffix");

/** Accepts the id of a shard, or its number. */
export const SHARD_NAME: Accepts = matching(
  /^[a-zA-Z0-9_.-]{1,128}$/,
  "1 to 128 letters, digits, _, - or .",
);

/** Which shard. */
export const SHARD: Argument = {
  name: "SHARD",
  doc: "a shard id, or the number at its end: 3 is shardId-000000000003",
  accepts: SHARD_NAME,
};

/** How long to wait for the cluster. */
export const WAIT: Flag = {
  name: "wait",
  placeholder: "TIME",
  doc: "wait so long for the workers; 0s does not wait",
  accepts: timeFrom(0, 3_600_000),
  defaultValue: "1m",
};

/** Settings in a file. */
export const CONFIG: Flag = {
  name: "config",
  placeholder: "FILE.json",
  doc: 'a file of settings, such as {"heartbeat": "10s"}; flags and environment come first',
  isInEnvironment: true,
};

/** Of a command that talks to Kinesis alone. */
export const AT_STREAM: readonly Flag[] = [REGION, ENDPOINT, KINESIS_ENDPOINT];

/** Of a command that talks to the state table alone, whose name may stand in the file of settings. */
export const AT_TABLE: readonly Flag[] = [REGION, ENDPOINT, DYNAMODB_ENDPOINT, CONFIG];

/** Of a command that talks to both. */
export const AT_BOTH: readonly Flag[] = [...AT_STREAM, DYNAMODB_ENDPOINT, CONFIG];

/** A flag for a whole number. */
export function numberFlag(
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
