/**
 * Owns: keeping the rows of the state table in step with the shards of the stream.
 * Must not: take a shard.
 * Called by: `runtime/worker.ts`, at the start, from time to time, and when a shard ends.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import type { ResolvedConfig } from "../core/config.ts";
import { dutyFactor } from "../core/duty.ts";
import { create, forget, isEnded, newShardRow, type ShardRow } from "../core/lease.ts";
import { type FamilyMember, rowsWithoutShard, shardsWithoutRow } from "../core/lineage.ts";
import { dropState, rowsWithStateTaken } from "../core/shard_state.ts";
import { SourceError, toEventError } from "../errors.ts";
import type { ShardInfo, StreamSource } from "../ports.ts";
import type { Membership } from "./membership.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";
import { forEachLimited } from "./tasks.ts";

/** What the shard sync needs of the worker. */
export interface ShardSyncDeps extends WriteDeps {
  readonly workerId: string;
  readonly source: StreamSource;
  readonly config: Pick<ResolvedConfig, "checkStreamChangesFrequency">;
}

const WRITES_AT_ONCE_MAX = 16;
/** After so many rows it is time to see whether others create them too. */
const CREATE_AT_ONCE_MAX = 256;
/** How often the rows are read again because others turned out to be creating them. */
const READS_MAX = 100;
/**
 * For what part of the time between two regular looks all looks must have shown the same: a list may be out of date, and with it all
 * that are asked for within a moment.
 */
const LASTING_SHARE = 0.85;

/** What the looks show, and since when. */
class Lasting {
  readonly #forMs: number;
  #since: ReadonlyMap<string, number> = new Map();

  constructor(forMs: number) {
    this.#forMs = forMs;
  }

  /** Takes what a look shows, and between which times it was made. Returns what has lasted. */
  note(ids: readonly string[], look: { readonly from: number; readonly until: number }): string[] {
    this.#since = new Map(ids.map((id) => [id, this.#since.get(id) ?? look.until]));
    return ids.filter((id) => look.from - (this.#since.get(id) ?? look.until) >= this.#forMs);
  }
}

/** Keeps rows and shards in step. */
export class ShardSync {
  readonly #deps: ShardSyncDeps;
  readonly #startAt: Checkpoint;
  readonly #unlisted: Lasting;
  readonly #reborn: Lasting;

  /** @param startAt Where a shard begins that has no row yet. */
  constructor(deps: ShardSyncDeps, startAt: Checkpoint) {
    this.#deps = deps;
    this.#startAt = startAt;
    const forMs = LASTING_SHARE * deps.config.checkStreamChangesFrequency;
    this.#unlisted = new Lasting(forMs);
    this.#reborn = new Lasting(forMs);
  }

  /**
   * Looks from time to time, until the signal is aborted. Two workers that started together do not look together for long.
   *
   * @param onNew Is told of new rows.
   * @throws {SourceError} If the stream is gone, by two looks in a row.
   */
  async run(
    membership: Pick<Membership, "takers">,
    onNew: () => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { workerId, clock, random, config, emit } = this.#deps;
    for (let missing = 0; missing < 2;) {
      const period = config.checkStreamChangesFrequency * (1 - random.next() / 10);
      const factor = dutyFactor(workerId, membership.takers(), "shard sync");
      await clock.sleep(period * factor, signal);
      try {
        if (await this.look(signal)) onNew();
        missing = 0;
      } catch (error) {
        if (signal.aborted) throw error;
        missing = error instanceof SourceError && error.kind === "missing" ? missing + 1 : 0;
        emit({ type: "task_failed", task: "look at the stream", error: toEventError(error) });
        if (missing === 2) throw error;
      }
    }
  }

  /** Looks at the stream and the rows. Returns whether there are new rows. */
  async look(signal: AbortSignal): Promise<boolean> {
    const { store, source, clock } = this.#deps;
    const from = clock.monotonic();
    const shards = await source.listShards(signal);
    const listed = { from, until: clock.monotonic() };
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
    const gone = new Set(this.#unlisted.note(unlisted.map((row) => row.id), listed));
    const reborn = this.#reborn.note(rebornShards(shards, rows), listed);
    if (reborn.length > 0) this.#tellReborn(reborn);
    await forEachLimited(
      unlisted.filter((row) => gone.has(row.id)),
      WRITES_AT_ONCE_MAX,
      (row) => this.#forget(row, signal),
    );
    // A row that cannot be understood may be that of a child.
    const taken = malformed.length === 0 ? rowsWithStateTaken(rows) : [];
    await forEachLimited(
      taken,
      WRITES_AT_ONCE_MAX,
      async (row) => void await writePatiently(this.#deps, dropState(row), signal),
    );
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

  #tellReborn(reborn: readonly string[]): void {
    const message =
      `Cannot read ${reborn.join(", ")}: finished in the state table, but open in the ` +
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

/** The finished shards that take records again: only a new stream of the same name has such. */
function rebornShards(shards: readonly ShardInfo[], rows: readonly ShardRow[]): readonly string[] {
  const open = new Set(shards.filter((shard) => !shard.isClosed).map((shard) => shard.id));
  return rows.filter((row) => isEnded(row) && open.has(row.id)).map((row) => row.id);
}
