/**
 * Owns: the file that `checkpoint export` writes and `checkpoint import` reads.
 * Must not: know the state table.
 * Called by: the commands about checkpoints.
 *
 * @module
 */

import { type Checkpoint, formatCheckpoint, parseCheckpoint } from "../../core/checkpoint.ts";
import type { ShardRow } from "../../core/lease.ts";
import { messageOf } from "../../errors.ts";

const FORMAT = "kinesix-checkpoints/1";
const BYTES_MAX = 64 * 1024 * 1024;

/** A file of checkpoints: one JSON object. */
export interface CheckpointFile {
  readonly format: typeof FORMAT;
  readonly appName: string;
  readonly streamName: string;
  /** When it was made, as an ISO time. */
  readonly exportedAt: string;
  readonly shards: readonly {
    readonly shardId: string;
    /** As the state table has it: a sequence number, `TRIM_HORIZON`, `AT_TIMESTAMP:<ISO time>` or `SHARD_END`. */
    readonly checkpoint: string;
  }[];
}

/** Makes the file. */
export function checkpointFile(
  about: Pick<CheckpointFile, "appName" | "streamName" | "exportedAt">,
  rows: readonly ShardRow[],
): CheckpointFile {
  const shards = rows.map(({ id, checkpoint }) => ({
    shardId: id,
    checkpoint: formatCheckpoint(checkpoint),
  }));
  return {
    format: FORMAT,
    ...about,
    shards: shards.sort((a, b) => a.shardId < b.shardId ? -1 : 1),
  };
}

/**
 * Reads a file.
 *
 * @throws {SyntaxError} If it is none, or of another stream.
 */
export async function readCheckpointFile(
  path: string,
  streamName: string,
): Promise<ReadonlyMap<string, Checkpoint>> {
  const fail = (why: string, cause?: unknown): SyntaxError =>
    new SyntaxError(`Cannot import "${path}": ${why}`, { cause });
  const { size } = await Deno.stat(path).catch((error) => {
    const isMissing = error instanceof Deno.errors.NotFound;
    throw fail(isMissing ? "there is no such file" : messageOf(error), error);
  });
  if (size > BYTES_MAX) throw fail(`it has more than ${BYTES_MAX} bytes`);
  let file: Partial<CheckpointFile>;
  try {
    file = Object(JSON.parse(await Deno.readTextFile(path)));
  } catch (error) {
    throw fail(messageOf(error), error);
  }
  if (file.format !== FORMAT) {
    throw fail(`it is no file of checkpoints: its format is not ${FORMAT}`);
  }
  if (file.streamName !== streamName) {
    throw fail(`it is of stream "${String(file.streamName).slice(0, 128)}", not "${streamName}"`);
  }
  if (!Array.isArray(file.shards)) throw fail("it has no shards");
  return new Map(file.shards.map((entry: unknown): [string, Checkpoint] => {
    const { shardId, checkpoint } = Object(entry);
    if (typeof shardId !== "string" || typeof checkpoint !== "string") {
      throw fail("a shard of it has no shardId, or no checkpoint");
    }
    try {
      return [shardId, parseCheckpoint(checkpoint)];
    } catch (error) {
      throw fail(`shard "${shardId.slice(0, 128)}": ${messageOf(error)}`, error);
    }
  }));
}
