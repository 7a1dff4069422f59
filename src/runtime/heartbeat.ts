/**
 * Owns: this worker's own row: registering it, the heartbeat, the attention that others ask for, and the fence that goes
 * down when no heartbeat was acknowledged for too long.
 * Must not: know shards.
 * Called by: `runtime/worker.ts`.
 *
 * @module
 */

import type { Claimant, RowChange, RowFields, WorkerRow } from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { StoreError, toEventError, WorkerReplacedError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";
import { Bell, withTimeout } from "./tasks.ts";

/**
 * Until when this worker may deliver records. Others take its shards at the earliest `heartbeatTimeout` after they saw the
 * last heartbeat; the fence goes down a tenth earlier, counted from before that heartbeat was sent.
 */
export class Fence {
  readonly #clock: Clock;
  /** Monotonic time, in milliseconds. */
  #until = -Infinity;
  /**
   * Wall time, in milliseconds. The monotonic clock of a machine that was suspended did not run meanwhile. A wall clock that is
   * set forward can only lower the fence too early, which is safe.
   */
  #wallUntil = -Infinity;
  #falls = 0;
  #raisedAt: number | undefined;

  /** @param clock This machine's. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For how much longer it is up, in milliseconds; 0 or less if it is down. */
  get leftMs(): number {
    return Math.min(this.#until - this.#clock.monotonic(), this.#wallUntil - this.#clock.now());
  }

  /** How long ago the last heartbeat was sent that was acknowledged, in milliseconds; null before the first one. */
  get ageMs(): number | null {
    return this.#raisedAt === undefined ? null : this.#clock.monotonic() - this.#raisedAt;
  }

  get isUp(): boolean {
    return this.leftMs > 0;
  }

  /** Whether it is up, for a caller that has just read the monotonic clock: between two records each reading counts. */
  isUpAt(monotonic: number): boolean {
    return monotonic < this.#until && this.#clock.now() < this.#wallUntil;
  }

  /** Whether it went down by time passing, and nobody was told yet. */
  get isUntold(): boolean {
    return !this.isUp && this.#until !== -Infinity;
  }

  /** How often it went down. What began before a fall must not count after it: others may have acted meanwhile. */
  get falls(): number {
    return this.#falls + (this.isUntold ? 1 : 0);
  }

  /** Raises it, as of the time before a heartbeat was sent that was acknowledged. */
  raise(sent: { readonly at: number; readonly wallAt: number }, heartbeatTimeout: number): void {
    this.#raisedAt = sent.at;
    this.#until = sent.at + heartbeatTimeout * 0.9;
    this.#wallUntil = sent.wallAt + heartbeatTimeout * 0.9;
  }

  lower(): void {
    if (this.#until !== -Infinity) this.#falls += 1;
    this.#until = -Infinity;
    this.#wallUntil = -Infinity;
  }
}

/** What the heartbeat needs of the worker. */
export interface HeartbeatDeps extends WriteDeps {
  readonly claimant: Claimant;
  readonly fence: Fence;
  readonly version: string;
  readonly heartbeat: number;
  readonly heartbeatTimeout: number;
  /** How many shards the worker has. */
  readonly countShards: () => number;
  /** Another worker says "read your shards now". */
  readonly onAttention: () => void;
  /** The fence went down: every shard must be given up at once. */
  readonly onFenced: () => void;
}

const RETRY_BACKOFF: Backoff = { baseMs: 250, maxMs: 5_000 };
const REGISTER_ATTEMPTS_MAX = 10;
/** How often a beat is sent again because an earlier one, whose reply was lost, turns out to have arrived. */
const BEAT_CONFLICTS_MAX = 3;

/** Keeps the row of this worker. */
export class Heartbeat {
  readonly #deps: HeartbeatDeps;
  readonly #now = new Bell();
  #beat = 0;
  /** The beat that the row shows, as far as it is known. */
  #shownBeat = 0;
  #attention: string | null = null;
  #isDraining = false;
  /** Until when a process that had this row before may hold shards under the same name, on the monotonic clock. */
  #predecessorUntil = -Infinity;

  /** @param deps What it needs of the worker. */
  constructor(deps: HeartbeatDeps) {
    this.#deps = deps;
  }

  /**
   * Writes this worker's row. A process that runs under the same worker id loses it, and stops. Every try shows another beat:
   * whoever found this worker dead after an earlier one, whose reply was lost, may have its removal on its way, and would
   * else remove the new row with it.
   */
  async register(signal: AbortSignal): Promise<void> {
    const { store, claimant, clock, fence, heartbeatTimeout } = this.#deps;
    let predecessor: WorkerRow | null = null;
    for (let attempt = 1; attempt <= REGISTER_ATTEMPTS_MAX; attempt++) {
      const before = await store.read("worker", claimant.workerId, signal);
      if (before !== null && before.incarnation !== claimant.incarnation) {
        predecessor = before;
        // Until it is certain since when that process cannot beat any more.
        this.#predecessorUntil = Infinity;
      }
      const sent = { at: clock.monotonic(), wallAt: clock.now() };
      const { kind, row } = await writePatiently<WorkerRow>(
        this.#deps,
        () => this.#registration(before),
        signal,
      );
      // After a conflict nobody knows when the others began to count, even if the row is this worker's.
      if (kind === "conflict" || row === null) continue;
      this.#attention = row.attention;
      this.#shownBeat = row.beat;
      fence.raise(sent, heartbeatTimeout);
      if (predecessor !== null) {
        this.#predecessorUntil = clock.monotonic() + predecessor.heartbeatTimeout;
      }
      return;
    }
    throw new StoreError(
      `Cannot register worker "${claimant.workerId}": other processes took its row ${REGISTER_ATTEMPTS_MAX} times; ` +
        `give each process its own worker id`,
      { kind: "invalid" },
    );
  }

  #registration(before: WorkerRow | null): RowChange<WorkerRow> {
    const { claimant: { workerId, incarnation }, heartbeatTimeout, version } = this.#deps;
    this.#beat += 1;
    return {
      kind: "worker",
      id: workerId,
      expect: before === null ? "no row" : { incarnation: before.incarnation, beat: before.beat },
      set: { incarnation, attention: null, heartbeatTimeout, version, ...this.#fields() },
    };
  }

  /** Writes heartbeats until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, heartbeat, random } = this.#deps;
    for (let failures = 0;;) {
      const retryIn = Math.min(heartbeat, backoffMs(failures, RETRY_BACKOFF, random.next()));
      await this.#now.wait(clock, failures === 0 ? heartbeat : retryIn, signal);
      try {
        await this.#write(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted || error instanceof WorkerReplacedError) throw error;
        if (error instanceof StoreError && error.kind === "missing") throw error;
        failures += 1;
        this.#deps.emit({ type: "heartbeat_failed", error: toEventError(error) });
      }
    }
  }

  /** Tells when the fence goes down, as long as the signal is not aborted. */
  async watchFence(signal: AbortSignal): Promise<void> {
    const { clock, fence, heartbeat, heartbeatTimeout, onFenced } = this.#deps;
    // Timers stand still on a machine that is suspended: what its wall clock says then is to be seen soon after.
    const period = Math.min(heartbeat, heartbeatTimeout / 20);
    while (true) {
      if (fence.isUntold) {
        fence.lower();
        onFenced();
      }
      await clock.sleep(fence.isUp ? Math.min(fence.leftMs, period) : period, signal);
    }
  }

  /** Tells the others at once that this worker takes no more shards. */
  startDraining(): void {
    this.#isDraining = true;
    this.#now.ring();
  }

  /**
   * Removes this worker's row: from now on the others may take whatever still names it. That may be the shards of a
   * process that had the row before and does not know yet that it was replaced; then the row stays, and counts as dead when
   * that process has given up.
   */
  async deregister(signal: AbortSignal): Promise<void> {
    const { store, clock, claimant: { workerId, incarnation } } = this.#deps;
    const isSure = clock.monotonic() >= this.#predecessorUntil;
    this.#isDraining = true;
    await store.write<WorkerRow>({
      kind: "worker",
      id: workerId,
      expect: { incarnation },
      set: isSure ? "delete" : { ...this.#fields(), shards: 0 },
    }, signal);
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { clock, fence, heartbeat, heartbeatTimeout } = this.#deps;
    this.#beat += 1;
    const sent = { at: clock.monotonic(), wallAt: clock.now() };
    // Short enough for another try before the fence goes down.
    const timeout = Math.max(1_000, Math.min(heartbeat, heartbeatTimeout / 5));
    const row = await withTimeout(
      clock,
      timeout,
      signal,
      (signal) => this.#sendBeat(signal),
      () =>
        new StoreError(`Cannot write the heartbeat: no answer within ${timeout} ms`, {
          kind: "unavailable",
          maybeApplied: true,
        }),
    );
    if (row === null) {
      // Others found this worker dead and removed its row; its shards may be theirs by now.
      fence.lower();
      this.#deps.onFenced();
      await this.register(signal);
      this.#deps.onAttention();
      return;
    }
    const wasFenced = !fence.isUp;
    if (fence.isUntold) {
      // The answer came before the watch noticed: the shards are given up all the same.
      fence.lower();
      this.#deps.onFenced();
    }
    fence.raise(sent, heartbeatTimeout);
    // After the fence was down, rows may still name this worker: they are its own to take again.
    if (wasFenced || row.attention !== this.#attention) {
      this.#attention = row.attention;
      this.#deps.onAttention();
    }
  }

  /**
   * Writes the beat and returns the row, or null if there is none. A beat expects the one before it: a copy of an old one that
   * arrives late would else show what others saw long ago, and they would take this worker for dead.
   */
  async #sendBeat(signal: AbortSignal): Promise<WorkerRow | null> {
    const { store, claimant: { workerId, incarnation } } = this.#deps;
    for (let conflicts = 0; conflicts <= BEAT_CONFLICTS_MAX; conflicts++) {
      const { kind, row } = await store.write<WorkerRow>({
        kind: "worker",
        id: workerId,
        expect: { incarnation, beat: this.#shownBeat },
        set: this.#fields(),
      }, signal);
      if (row === null) return null;
      if (row.incarnation !== incarnation) throw new WorkerReplacedError(workerId);
      this.#shownBeat = row.beat;
      if (kind === "written") return row;
    }
    throw new StoreError(
      `Cannot write the heartbeat: other beats of "${workerId}" arrived ${
        BEAT_CONFLICTS_MAX + 1
      } times in between`,
      { kind: "unavailable" },
    );
  }

  #fields(): RowFields<WorkerRow> & Pick<WorkerRow, "beat" | "beatAt" | "shards" | "isDraining"> {
    return {
      beat: this.#beat,
      beatAt: this.#deps.clock.now(),
      shards: this.#deps.countShards(),
      isDraining: this.#isDraining,
    };
  }
}
