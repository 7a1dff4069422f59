/**
 * Owns: which commands there are, in the order of the help.
 * Must not: describe them; the tables in `commands/` do.
 * Called by: `main.ts` and `help.ts`.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { DEMO, LOCAL } from "./commands/local_commands.ts";
import {
  SHARD_HANDOVER,
  SHARD_RELEASE,
  SHARD_START,
  SHARD_STOP,
} from "./commands/shard_commands.ts";
import { PUT } from "./commands/stream_commands.ts";
import { RUN, STATUS } from "./commands/worker_commands.ts";

/** Every command. */
export const COMMANDS: readonly Command[] = [
  RUN,
  STATUS,
  SHARD_STOP,
  SHARD_START,
  SHARD_HANDOVER,
  SHARD_RELEASE,
  PUT,
  LOCAL,
  DEMO,
];
