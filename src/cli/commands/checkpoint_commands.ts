/**
 * Owns: the commands about checkpoints: their flags and help texts, and where their code is.
 * Must not: import the code of a command before it is called, so that help costs nothing and needs no permission.
 * Called by: `commands.ts`.
 *
 * @module
 */

import { POSITION } from "../checkpoints/position.ts";
import type { Command } from "../command.ts";
import {
  APP,
  AT_BOTH,
  AT_TABLE,
  JSON_SWITCH,
  SHARD,
  STREAM,
  TABLE_SETTINGS,
  WAIT,
} from "../common_flags.ts";
import { type Flag, matching } from "../flags.ts";

const READ: readonly Flag[] = [
  APP,
  STREAM,
  JSON_SWITCH,
  ...AT_TABLE,
];

const CHANGE: readonly Flag[] = [
  APP,
  STREAM,
  { name: "stop-first", doc: "stop the shards on all workers, set, and start them again" },
  {
    name: "force",
    doc:
      "take the shards away from workers that seem alive; what they process until they notice comes again",
  },
  { name: "dry-run", doc: "check everything, tell what would be set, and change nothing" },
  WAIT,
  JSON_SWITCH,
  ...AT_BOTH,
];

/** `kinesix checkpoint list`. */
export const CHECKPOINT_LIST: Command = {
  name: "checkpoint list",
  summary: "show how far each shard is finished",
  details: [],
  examples: ["kinesix checkpoint list --app TestApp --stream TestStream"],
  flags: READ,
  settings: TABLE_SETTINGS,
  load: () => import("../checkpoint.ts").then((module) => module.listCheckpoints),
};

/** `kinesix checkpoint set`. */
export const CHECKPOINT_SET: Command = {
  name: "checkpoint set",
  summary: "set the checkpoint of a shard, forward or back",
  details: [
    "The next worker that takes the shard goes on after it. A worker must not be at work on the shard,",
    "unless it is told to stop first.",
  ],
  examples: [
    "kinesix checkpoint set 3 2h --stop-first --app TestApp --stream TestStream",
    "kinesix checkpoint set 3 49590338271490256608559692538361571095921575989136588898 --app TestApp --stream TestStream",
  ],
  args: [SHARD, POSITION],
  flags: CHANGE,
  settings: TABLE_SETTINGS,
  load: () => import("../checkpoint.ts").then((module) => module.setCheckpoint),
};

/** `kinesix checkpoint rewind`. */
export const CHECKPOINT_REWIND: Command = {
  name: "checkpoint rewind",
  summary: "set the checkpoints of all shards to one time",
  details: [
    "Closed shards too, as far as the stream holds them: their children wait for them again, so that the",
    "order of each partition key holds.",
  ],
  examples: [
    "kinesix checkpoint rewind 2h --stop-first --app TestApp --stream TestStream",
    "kinesix checkpoint rewind trim-horizon --dry-run --app TestApp --stream TestStream",
  ],
  args: [POSITION],
  flags: CHANGE,
  settings: TABLE_SETTINGS,
  load: () => import("../checkpoint.ts").then((module) => module.rewind),
};

/** `kinesix checkpoint export`. */
export const CHECKPOINT_EXPORT: Command = {
  name: "checkpoint export",
  summary: "write the checkpoints as JSON",
  details: [],
  examples: ["kinesix checkpoint export --app TestApp --stream TestStream > checkpoints.json"],
  flags: [
    ...READ.filter((flag) => flag !== JSON_SWITCH),
    { name: "output", placeholder: "FILE", doc: "write it here instead of to stdout" },
  ],
  settings: TABLE_SETTINGS,
  load: () => import("../checkpoint.ts").then((module) => module.exportCheckpoints),
};

/** `kinesix checkpoint import`. */
export const CHECKPOINT_IMPORT: Command = {
  name: "checkpoint import",
  summary: "take checkpoints over, from an export or from the lease table of a KCL application",
  details: [
    "The state table is made if need be. From the KCL, versions 1 to 3: the shards go on exactly after its",
    "checkpoints. Its workers must have stopped; that is watched for some seconds.",
  ],
  examples: [
    "kinesix checkpoint import checkpoints.json --app TestApp --stream TestStream",
    "kinesix checkpoint import --from-kcl my-kcl-app --dry-run --app TestApp --stream TestStream",
  ],
  args: [{ name: "FILE", doc: "what checkpoint export wrote", isOptional: true }],
  flags: [
    ...CHANGE.slice(0, 2),
    {
      name: "from-kcl",
      placeholder: "TABLE",
      doc: "the lease table of a KCL application; its name is that of the application",
      accepts: matching(/^[A-Za-z0-9_.-]{3,255}$/, "3 to 255 letters, digits, _, - or ."),
    },
    {
      name: "at-timestamp",
      placeholder: "TIME",
      doc:
        "where KCL leases begin that say AT_TIMESTAMP: the KCL does not write down when that was",
      ...POSITION.accepts && { accepts: POSITION.accepts },
    },
    ...CHANGE.slice(2),
  ],
  settings: TABLE_SETTINGS,
  load: () => import("../checkpoint.ts").then((module) => module.importCheckpoints),
};
