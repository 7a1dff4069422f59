/**
 * Owns: setting the checkpoints of shards in a cluster that may be at work: all checks first, then stop, set, start again.
 * Must not: print, or parse.
 * Called by: the commands `checkpoint set`, `rewind` and `import`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import type { ReactoKinesixApp } from "../../app.ts";
import { formatCheckpoint } from "../../core/checkpoint.ts";
import { isHalted, type ShardRow } from "../../core/lease.ts";
import type { Checkpoint } from "../../core/checkpoint.ts";
import { messageOf } from "../../errors.ts";

/** A control of the cluster. */
export type Control = Awaited<ReturnType<typeof ReactoKinesixApp.control>>;

/** How checkpoints are set. */
export interface SetOptions {
  /** Whether to stop the shards on all workers first, and to start them again after. */
  readonly stopsFirst: boolean;
  /** Whether to take shards away from workers that seem alive. */
  readonly isForced: boolean;
  /** Whether nothing is to be changed. */
  readonly isDryRun: boolean;
  /** How long to wait until the workers have given up the shards, in milliseconds. */
  readonly waitMs: number;
  /** The workers that seem alive. */
  readonly alive: ReadonlySet<string>;
  readonly signal: AbortSignal;
  /** Is told how many are set by now. */
  readonly onProgress?: (set: number) => void;
}

/** What was set. */
export interface Change {
  readonly shardId: string;
  readonly from: string;
  readonly to: string;
}

const LOOK_MS = 250;

/**
 * Sets checkpoints.
 *
 * @throws {RangeError} If a shard has no row, or a worker has it and it is not to be stopped first. Then nothing was changed.
 */
export async function setCheckpoints(
  control: Control,
  targets: ReadonlyMap<string, Checkpoint>,
  options: SetOptions,
): Promise<readonly Change[]> {
  const rows = await rowsOf(control, targets);
  const held = rows.filter(({ owner }) => owner !== null && options.alive.has(owner));
  if (held.length > 0 && !options.stopsFirst && !options.isForced) {
    const [first] = held;
    throw new RangeError(
      `Cannot set ${count(targets.size)}: worker "${first?.owner}" has shard "${first?.id}"` +
        `${held.length > 1 ? `, and ${held.length - 1} more are at work` : ""}; use --stop-first`,
    );
  }
  const changes = rows.map((row) => ({
    shardId: row.id,
    from: formatCheckpoint(row.checkpoint),
    to: formatCheckpoint(targets.get(row.id) ?? row.checkpoint),
  }));
  if (options.isDryRun) return changes;
  const stopped: string[] = [];
  try {
    if (options.stopsFirst) await stopAll(control, rows, stopped, options);
    await setAll(control, targets, options);
  } catch (error) {
    const next = await startAgain(control, stopped).catch(messageOf);
    const told = next === undefined ? startedWords(rows, stopped) : `. Then also: ${next}`;
    throw told === "" ? error : new Error(`${messageOf(error)}${told}`, { cause: error });
  }
  await startAgain(control, stopped);
  return changes;
}

async function setAll(
  control: Control,
  targets: ReadonlyMap<string, Checkpoint>,
  { isForced, signal, onProgress }: SetOptions,
): Promise<void> {
  let set = 0;
  for (const [shardId, checkpoint] of targets) {
    if (signal.aborted) throw interrupted(targets.size, set, signal);
    try {
      await control.setCheckpoint(shardId, checkpoint, { isForced });
    } catch (error) {
      if (set === 0) throw error;
      throw new Error(`${messageOf(error)}; ${partly(set, targets.size)}`, { cause: error });
    }
    set += 1;
    onProgress?.(set);
  }
}

function interrupted(shards: number, set: number, { reason }: AbortSignal): Error {
  const done = set === 0 ? "nothing was set" : partly(set, shards);
  return new Error(`Cannot set ${count(shards)}: stopped by ${reason}; ${done}`);
}

function partly(set: number, shards: number): string {
  return `${set} of ${shards} are set: call it again for the rest`;
}

/** One that cannot be started must not keep the others from it. */
async function startAgain(control: Control, stopped: readonly string[]): Promise<void> {
  const failures: { readonly shardId: string; readonly error: unknown }[] = [];
  for (const shardId of stopped) {
    await control.start(shardId).catch((error) => failures.push({ shardId, error }));
  }
  const [first] = failures;
  if (first === undefined) return;
  const names = failures.map(({ shardId }) => `"${shardId}"`).join(", ");
  throw new Error(
    `Cannot start what was stopped: ${names}: ${messageOf(first.error)}; use kinesix shard start`,
    { cause: first.error },
  );
}

/** Of a call that failed: that what it stopped goes on; and which shards go on that did not before, since a start is one for every worker. */
function startedWords(rows: readonly ShardRow[], stopped: readonly string[]): string {
  if (stopped.length === 0) return "";
  const [also, ...more] = rows
    .filter(({ id, stoppedBy }) => stoppedBy.length > 0 && stopped.includes(id));
  return `; what was stopped for it is started again${
    also === undefined
      ? ""
      : `, also shard "${also.id}"${
        more.length > 0 ? ` and ${more.length} more` : ""
      }, which worker "${also.stoppedBy[0]}" had stopped before (see kinesix shard stop)`
  }`;
}

async function rowsOf(
  control: Control,
  targets: ReadonlyMap<string, Checkpoint>,
): Promise<readonly ShardRow[]> {
  const rows = new Map((await control.shards()).map((row) => [row.id, row]));
  return [...targets.keys()].map((shardId) => {
    const row = rows.get(shardId);
    if (row !== undefined) return row;
    throw new RangeError(
      `Cannot set the checkpoint of shard "${shardId}": the state table has no shard of that name`,
    );
  });
}

/** Stops the shards that are not, and waits until no worker has them. `stopped` are those to start again. */
async function stopAll(
  control: Control,
  rows: readonly ShardRow[],
  stopped: string[],
  { waitMs, alive, signal }: SetOptions,
): Promise<void> {
  const open = rows.filter(({ checkpoint }) => checkpoint.kind !== "shardEnd");
  for (const row of open.filter((row) => !isHalted(row))) {
    if (signal.aborted) throw interrupted(rows.length, 0, signal);
    stopped.push(row.id);
    await control.stop(row.id);
  }
  const ids = new Set(open.map(({ id }) => id));
  const until = performance.now() + waitMs;
  for (;;) {
    const held = (await control.shards()).filter(({ id, owner, holder }) =>
      holder !== null && ids.has(id) && alive.has(owner ?? "")
    );
    if (held.length === 0) return;
    if (signal.aborted) throw interrupted(rows.length, 0, signal);
    if (performance.now() > until) {
      throw new Error(
        `Cannot set ${count(rows.length)}: worker "${held[0]?.owner}" did not give up shard ` +
          `"${
            held[0]?.id
          }" within ${waitMs} ms; nothing was set. If that worker is dead use --force`,
      );
    }
    await delay(LOOK_MS);
  }
}

function count(shards: number): string {
  return shards === 1 ? "the checkpoint" : `the checkpoints of ${shards} shards`;
}
