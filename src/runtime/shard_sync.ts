/**
 * Owns: keeping the rows of the state table in step with the shards of the stream.
 * Must not: take a shard.
 * Called by: `runtime/worker.ts` at the start and from time to time; `runtime/shard_roster.ts` when a shard ends.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import { create, forget, isEnded, newShardRow, type ShardRow } from "../core/lease.ts";
import { type FamilyMember, rowsWithoutShard, shardsWithoutRow } from "../core/lineage.ts";
import { SourceError, toEventError } from "../errors.ts";

import type { ShardInfo, StreamSource } from "../ports.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";
import { forEachLimited } from "./tasks.ts";

/** What the shard sync needs of the worker. */
export interface ShardSyncDeps extends WriteDeps {
  readonly source: StreamSource;
}

const WRITES_AT_ONCE_MAX = 16;
/** After so many rows it is time to see whether others create them too. */
const CREATE_AT_ONCE_MAX = 256;
/** How often the rows are read again because others turned out to be creating them. */
const READS_MAX = 100;

/** Keeps rows and shards in step. */
export class ShardSync {
  readonly #deps: ShardSyncDeps;
  readonly #startAt: Checkpoint;
  /** Rows that the last look would have deleted: a single look may be out of date. */
  #unlisted: ReadonlySet<string> = new Set();
  #reborn: ReadonlySet<string> = new Set();

  /** @param startAt Where a shard begins that has no row yet. */
  constructor(deps: ShardSyncDeps, startAt: Checkpoint) {
    this.#deps = deps;
    this.#startAt = startAt;
  }

  /** Looks at the stream and the rows. Returns whether there are new rows. */
  async look(signal: AbortSignal): Promise<boolean> {
    const { store, source } = this.#deps;
    const shards = await source.listShards(signal);
    let isNew = false;
    let { rows, malformed } = await store.list("shard", signal);
    for (let reads = 1; reads < READS_MAX; reads++) {
      // A row that cannot be understood is there all the same.
      const unreadable = malformed.map(({ id }) => ({ id, parents: [] }));
      const outcome = await this.#createMissing(shards, [...rows, ...unreadable], signal);
      isNew ||= outcome !== "none";
      if (outcome !== "outrun") break;
      ({ rows, malformed } = await store.list("shard", signal));
    }
    const unlisted = rowsWithoutShard(shards, rows);
    this.#tellReborn(shards, rows);
    const gone = unlisted.filter((row) => this.#unlisted.has(row.id));
    this.#unlisted = new Set(unlisted.map((row) => row.id));
    await forEachLimited(gone, WRITES_AT_ONCE_MAX, (row) => this.#forget(row, signal));
    return isNew;
  }

  /**
   * Creates the rows of the children of a shard that is read to its end. A child of two shards waits for a look at the stream if
   * the other one has no row yet, being new itself: without that row it would count as finished.
   */
  async createChildren(
    children: readonly Omit<ShardInfo, "isClosed">[],
    signal: AbortSignal,
  ): Promise<void> {
    const { store } = this.#deps;
    const parents = new Set(children.flatMap((child) => child.parents));
    for (const parent of parents) {
      if (await store.read("shard", parent, signal) !== null) continue;
      await this.look(signal);
      return;
    }
    await this.#createMissing(children, [], signal);
  }

  /**
   * Creates the rows that are missing, parents before children, and says whether there were any. Where many are, a whole
   * cluster may be starting: each worker goes through them in an order of its own, so that many hands make light work, and
   * once others prove to be ahead it is `outrun`: what is missing now is cheaper to read than to find out by trying.
   */
  async #createMissing(
    shards: readonly Omit<ShardInfo, "isClosed">[],
    rows: readonly FamilyMember[],
    signal: AbortSignal,
  ): Promise<"none" | "all" | "outrun"> {
    const generations = shardsWithoutRow(shards, rows);
    for (const generation of generations) {
      const order = generation.length > CREATE_AT_ONCE_MAX
        ? this.#shuffled(generation)
        : generation;
      for (let from = 0; from < order.length; from += CREATE_AT_ONCE_MAX) {
        const some = order.slice(from, from + CREATE_AT_ONCE_MAX);
        let written = 0;
        await forEachLimited(some, WRITES_AT_ONCE_MAX, async (shard) => {
          if (await this.#create(shard, signal)) written += 1;
        });
        const isMore = from + CREATE_AT_ONCE_MAX < order.length;
        if (isMore && written < some.length / 2) return "outrun";
      }
    }
    return generations.length > 0 ? "all" : "none";
  }

  #shuffled<T>(items: readonly T[]): readonly T[] {
    return items.map((item) => ({ item, place: this.#deps.random.next() }))
      .sort((a, b) => a.place - b.place).map(({ item }) => item);
  }

  /** A finished shard that takes records again, in two looks: only a new stream of the same name has that. */
  #tellReborn(shards: readonly ShardInfo[], rows: readonly ShardRow[]): void {
    const open = new Set(shards.filter((shard) => !shard.isClosed).map((shard) => shard.id));
    const reborn = rows.filter((row) => isEnded(row) && open.has(row.id)).map((row) => row.id);
    const twice = reborn.filter((id) => this.#reborn.has(id));
    this.#reborn = new Set(reborn);
    if (twice.length === 0) return;
    const message =
      `Cannot read ${twice.join(", ")}: finished in the state table, but open in the ` +
      "stream, which was deleted and created again under its name; stop the app and delete the " +
      "rows of the old stream";
    const error = toEventError(new SourceError(message, { kind: "invalid" }));
    this.#deps.emit({ type: "task_failed", task: "look at the stream", error });
  }

  /** Creates a row. Returns false if another worker was faster: the row is there, which is all that counts. */
  async #create(shard: Omit<ShardInfo, "isClosed">, signal: AbortSignal): Promise<boolean> {
    const row = create(newShardRow(shard, this.#startAt));
    const { kind } = await writePatiently(this.#deps, row, signal);
    if (kind === "written") {
      this.#deps.emit({ type: "shard_found", shardId: shard.id, parents: shard.parents });
    }
    return kind === "written";
  }

  async #forget(row: ShardRow, signal: AbortSignal): Promise<void> {
    const { kind } = await writePatiently(this.#deps, forget(row), signal);
    if (kind === "written") this.#deps.emit({ type: "shard_forgotten", shardId: row.id });
  }
}
