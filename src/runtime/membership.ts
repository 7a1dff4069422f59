/**
 * Owns: what this worker knows of the others: who is alive, who takes shards; and how it gets their attention.
 * Must not: know shards.
 * Called by: `runtime/worker.ts`.
 *
 * @module
 */

import type { Claimant, RowChange, WorkerRow } from "../core/lease.ts";
import { isOnDuty } from "../core/duty.ts";
import { isAlive, sight, type Sightings } from "../core/liveness.ts";
import { WorkerReplacedError } from "../errors.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";
import { forEachLimited, type TaskGroup } from "./tasks.ts";

/** What the membership needs of the worker. */
export interface MembershipDeps extends WriteDeps {
  readonly claimant: Claimant;
  readonly tasks: TaskGroup;
  /** A worker that was to be told something turned out to be gone. */
  readonly onGone: (workerId: string) => void;
}

/** Several shards that are given to one worker at once are worth one write to get its attention. */
const NUDGE_DELAY_MS = 50;
const WRITES_AT_ONCE_MAX = 16;

/** The workers of the cluster, as this one sees them. */
export class Membership {
  readonly #deps: MembershipDeps;
  readonly #toNudge = new Set<string>();
  readonly #malformed = new Set<string>();
  #sightings: Sightings = new Map();
  /** Who was alive at the last look. */
  #aliveBefore: ReadonlySet<string> = new Set();
  /** The incarnations that were found dead, so that each is told once. */
  #lost: ReadonlySet<string> = new Set();

  /** @param deps What it needs of the worker. */
  constructor(deps: MembershipDeps) {
    this.#deps = deps;
  }

  /**
   * Reads the rows of the workers. Returns those that left or died since the last look.
   *
   * @throws {WorkerReplacedError} If this worker's row is that of another process by now. Shard rows that name this worker, and
   * were read before, may be those of that process.
   */
  async look(signal: AbortSignal): Promise<readonly string[]> {
    const { store, clock, emit, claimant } = this.#deps;
    const { rows, malformed } = await store.list("worker", signal);
    const own = rows.find((row) => row.id === claimant.workerId);
    if (own !== undefined && own.incarnation !== claimant.incarnation) {
      throw new WorkerReplacedError(claimant.workerId);
    }
    for (const { id, reason } of malformed) {
      if (this.#malformed.has(id)) continue;
      this.#malformed.add(id);
      emit({ type: "row_malformed", kind: "worker", id, reason });
    }
    // What was true at the last look: by now, time alone has made a worker that is silent count as dead.
    const before = this.#aliveBefore;
    this.#sightings = sight(this.#sightings, rows, clock.monotonic());
    const now = this.alive();
    this.#aliveBefore = now;
    const dead = rows.filter((row) => !now.has(row.id));
    for (const row of dead) {
      if (this.#lost.has(row.incarnation)) continue;
      emit({ type: "worker_lost", lostWorkerId: row.id });
    }
    this.#lost = new Set(dead.map((row) => row.incarnation));
    return [...before].filter((workerId) => !now.has(workerId));
  }

  /** The workers that may be working; this one always is. */
  alive(): ReadonlySet<string> {
    return this.#workersWhere(() => true);
  }

  /** The workers that take shards. */
  takers(): ReadonlySet<string> {
    return this.#workersWhere((row) => !row.isDraining);
  }

  /** The most shards that a worker has, by its own account. */
  largestLoad(): number {
    const takers = this.takers();
    return this.rows().reduce(
      (most, row) => takers.has(row.id) ? Math.max(most, row.shards) : most,
      0,
    );
  }

  /** The rows of all workers, as last read. */
  rows(): readonly WorkerRow[] {
    return [...this.#sightings.values()].map((sighting) => sighting.row);
  }

  /** Reads the row of a worker that seems dead once more, before its first shard is taken. */
  async isDead(workerId: string, signal: AbortSignal): Promise<boolean> {
    const row = await this.#deps.store.read("worker", workerId, signal);
    if (row === null) return true;
    const seen = this.#sightings.get(workerId);
    if (seen?.row.incarnation === row.incarnation && seen.row.beat === row.beat) {
      return !isAlive(seen, this.#deps.clock.monotonic());
    }
    const others = this.rows().filter((other) => other.id !== workerId);
    this.#sightings = sight(this.#sightings, [...others, row], this.#deps.clock.monotonic());
    return false;
  }

  /**
   * Removes the rows of the dead at once, so that it is certain for everybody, also for those who seldom look. A beat that
   * moves keeps the row. Returns those that this very worker removed: it sees to their shards.
   */
  async certify(signal: AbortSignal): Promise<readonly string[]> {
    const alive = this.alive();
    const certified: string[] = [];
    const dead = this.rows().filter((row) => !alive.has(row.id));
    await forEachLimited(dead, WRITES_AT_ONCE_MAX, async ({ id, incarnation, beat }) => {
      const expect = { incarnation, beat };
      const change: RowChange<WorkerRow> = { kind: "worker", id, expect, set: "delete" };
      const { kind } = await writePatiently(this.#deps, change, signal);
      if (kind === "written") certified.push(id);
    });
    return certified;
  }

  /** Removes the rows of dead workers that no shard names any more. */
  async bury(owners: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const alive = this.alive();
    for (const { id, incarnation, beat } of this.rows()) {
      if (alive.has(id) || owners.has(id)) continue;
      if (!isOnDuty(this.#deps.claimant.workerId, alive, `bury ${id}`)) continue;
      await writePatiently<WorkerRow>(
        this.#deps,
        { kind: "worker", id, expect: { incarnation, beat }, set: "delete" },
        signal,
      );
    }
  }

  /** Has a worker read its rows soon. If that fails, it reads them in its own time. */
  nudge(workerId: string, signal: AbortSignal): void {
    if (this.#toNudge.has(workerId)) return;
    this.#toNudge.add(workerId);
    this.#deps.tasks.start(`nudge worker ${workerId}`, async () => {
      await this.#deps.clock.sleep(NUDGE_DELAY_MS, signal).finally(() =>
        this.#toNudge.delete(workerId)
      );
      const incarnation = this.#sightings.get(workerId)?.row.incarnation;
      if (incarnation === undefined) return;
      const attention = this.#deps.random.uuid();
      const { kind } = await writePatiently<WorkerRow>(
        this.#deps,
        { kind: "worker", id: workerId, expect: { incarnation }, set: { attention } },
        signal,
      );
      if (kind === "conflict") this.#deps.onGone(workerId);
    });
  }

  #workersWhere(condition: (row: WorkerRow) => boolean): ReadonlySet<string> {
    const now = this.#deps.clock.monotonic();
    const workers = new Set([this.#deps.claimant.workerId]);
    for (const [workerId, sighting] of this.#sightings) {
      if (isAlive(sighting, now) && condition(sighting.row)) workers.add(workerId);
    }
    return workers;
  }
}
