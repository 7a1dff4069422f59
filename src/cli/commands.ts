/**
 * Owns: which commands there are, in the order of the help.
 * Must not: describe them; the tables in `commands/` do.
 * Called by: `main.ts` and `help.ts`.
 *
 * @module
 */

import type { Command } from "./command.ts";
import {
  CHECKPOINT_EXPORT,
  CHECKPOINT_IMPORT,
  CHECKPOINT_LIST,
  CHECKPOINT_REWIND,
  CHECKPOINT_SET,
} from "./commands/checkpoint_commands.ts";
import { COMPLETIONS, DEMO, LOCAL } from "./commands/local_commands.ts";
import { COST, DOCTOR, IAM_PRINT, TABLE_PRINT } from "./commands/setup_commands.ts";
import {
  SHARD_HANDOVER,
  SHARD_RELEASE,
  SHARD_START,
  SHARD_STOP,
} from "./commands/shard_commands.ts";
import { CONSUMER_DEREGISTER, CONSUMER_LIST, PUT, REDRIVE } from "./commands/stream_commands.ts";
import { EXPLAIN, REPLAY, TAIL } from "./commands/watch_commands.ts";
import { RUN, STATUS } from "./commands/worker_commands.ts";

/** Every command. */
export const COMMANDS: readonly Command[] = [
  RUN,
  STATUS,
  EXPLAIN,
  SHARD_STOP,
  SHARD_START,
  SHARD_HANDOVER,
  SHARD_RELEASE,
  CHECKPOINT_LIST,
  CHECKPOINT_SET,
  CHECKPOINT_REWIND,
  CHECKPOINT_EXPORT,
  CHECKPOINT_IMPORT,
  TAIL,
  REPLAY,
  PUT,
  REDRIVE,
  CONSUMER_LIST,
  CONSUMER_DEREGISTER,
  DOCTOR,
  COST,
  IAM_PRINT,
  TABLE_PRINT,
  LOCAL,
  DEMO,
  COMPLETIONS,
];
