/**
 * Owns: the commands that steer the shards of a cluster: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import type { Command } from "../command.ts";
import {
  APP,
  AT_TABLE,
  JSON_SWITCH,
  SHARD,
  STREAM,
  TABLE_SETTINGS,
  WAIT,
} from "../common_flags.ts";
import { type Flag, matching } from "../flags.ts";

const TO: Flag = {
  name: "to",
  placeholder: "W",
  doc: "the worker that is to get it",
  accepts: matching(/^[^\p{C}]{1,128}$/u, "1 to 128 printable characters"),
  isRequired: true,
};

const COMMON: Pick<Command, "args" | "settings"> & { readonly flags: readonly Flag[] } = {
  args: [SHARD],
  flags: [
    APP,
    STREAM,
    WAIT,
    JSON_SWITCH,
    ...AT_TABLE,
  ],
  settings: TABLE_SETTINGS,
};

const HOW = "It is written into the state table; the workers heed it within a heartbeat.";

/** `kinesix shard stop`. */
export const SHARD_STOP: Command = {
  ...COMMON,
  name: "shard stop",
  summary: "stop a shard on every worker, now and later",
  details: ["Its owner finishes the record in hand, checkpoints, and gives it up.", HOW],
  examples: ["kinesix shard stop 3 --app TestApp --stream TestStream"],
  load: () => import("../shard.ts").then((module) => module.stopShard),
};

/** `kinesix shard start`. */
export const SHARD_START: Command = {
  ...COMMON,
  name: "shard start",
  summary: "process a shard again, whoever stopped it",
  details: ["An operator, or workers after a record that kept failing.", HOW],
  examples: ["kinesix shard start 3 --app TestApp --stream TestStream"],
  load: () => import("../shard.ts").then((module) => module.startShard),
};

/** `kinesix shard handover`. */
export const SHARD_HANDOVER: Command = {
  ...COMMON,
  name: "shard handover",
  summary: "hand a shard over to a worker",
  details: [
    "Its owner finishes the record in hand, checkpoints, and gives it; nothing is processed twice. Later",
    "the workers may move it again to even the load.",
    HOW,
  ],
  flags: [...COMMON.flags.slice(0, 2), TO, ...COMMON.flags.slice(2)],
  examples: ["kinesix shard handover 3 --to worker-b --app TestApp --stream TestStream"],
  load: () => import("../shard.ts").then((module) => module.handOverShard),
};

/** `kinesix shard release`. */
export const SHARD_RELEASE: Command = {
  ...COMMON,
  name: "shard release",
  summary: "have a shard handed over to the worker with the fewest",
  details: [HOW],
  examples: ["kinesix shard release 3 --app TestApp --stream TestStream"],
  load: () => import("../shard.ts").then((module) => module.releaseShard),
};
