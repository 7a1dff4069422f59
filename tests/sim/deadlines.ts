/**
 * Owns: the promises about time: how long a stop takes, how long a shard waits, what is left behind.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { isEnded, isHalted, type Row, type ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery, Truth } from "./checker.ts";
import { EPOCH_MS, processOf } from "./sim_clock.ts";
import { FUTURE_WAIT_MS } from "./sim_ports.ts";
import type { SimProcess } from "./sim_process.ts";
import type { TableWrite } from "./sim_table.ts";

/** What a few messages to and from the table may take when nothing goes wrong, in milliseconds. */
const MESSAGES_MS = 2_000;
/** Who fails to look at the table for long waits so long at most before the next try, in milliseconds. */
const BACKOFF_MAX_MS = 30_000;
/** Calls one after the other from the news that a shard is to be had until it is read. */
const CALLS = 8;
/** So many shards are taken at once, with so many calls one after the other. */
const TAKES_AT_ONCE = 16;
const CALLS_PER_TAKE = 2;
/** Short pauses so that several reasons to look, or to nudge somebody, cost one. */
const GAPS_MS = 200;
/** Up to how many workers all look at each other once per heartbeat. */
const WATCHERS_MAX = 10;
/** Up to how many workers each acts on what it finds; of more, so many do, and tell the others. */
const ON_DUTY_MAX = 3;

/** A stop returns within `shutdownTimeout`. */
export class StopDeadline implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onStop(process: SimProcess): void {
    const { world, config } = this.#truth;
    const deadline = config.shutdownTimeout * 1.05 + 50;
    world.after(deadline, () => {
      if (process.state !== "stopping" || process.isCrashed || process.wasPaused) return;
      world.fail("stop deadline", `${process.name} did not stop within ${Math.round(deadline)} ms`);
    });
  }
}

/** A worker that stopped leaves nothing running: no sleep, no call, no reader. */
export class NothingLeft implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onStopped(process: SimProcess): void {
    const { world, config } = this.#truth;
    world.after(config.heartbeatTimeout + 60_000, () => {
      const { pendingCalls, pendingSleeps, openReaders } = process;
      if (process.isCrashed || process.recordsInHand > 0 || process.pausedUntil > world.now) return;
      if (pendingCalls + pendingSleeps + openReaders === 0) return;
      world.fail(
        "nothing left",
        `${process.name} stopped and left ${pendingSleeps} sleeps, ${pendingCalls} calls, ` +
          `${openReaders} readers`,
      );
    });
  }
}

/** Why a shard has nobody who works on it. */
type Why = "crash" | "parting" | "end of its parents" | "order";

/** A shard that waits for the first read, or record, of its next turn. */
interface Wait {
  readonly why: Why;
  readonly since: number;
  readonly boundMs: number;
  /** Who took it. */
  by: string | null;
}

/**
 * When nothing but the crash of a worker happens, its shards are processed again within `heartbeatTimeout` +
 * `checkUnprocessedShardsFrequency` + one heartbeat; where a few look at each other all the time, within two or three heartbeats
 * of the time-out. Those of a worker that stops or hands over, and the children of a shard that ended, within one heartbeat.
 */
export class Takeover implements Checker {
  readonly #truth: Truth;
  readonly #waiting = new Map<string, Wait>();
  #crashedAt = -Infinity;
  /** The longest waits, for the figures. */
  worstCrashMs = 0;
  worstPartingMs = 0;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onCrash(process: SimProcess): void {
    const { world, scenario, table } = this.#truth;
    if (!scenario.isGentle) return;
    const boundMs = this.#crashBoundMs();
    this.#crashedAt = world.now;
    for (const row of table.shards()) {
      if (isEnded(row) || isHalted(row) || row.stoppedBy.length > 0) continue;
      const isHeld = row.holder !== null && processOf(row.holder) === process.name;
      const isGiven = row.holder === null && row.owner === process.workerId;
      if (isHeld || isGiven) this.#wait(row.id, "crash", boundMs);
    }
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!this.#truth.scenario.isGentle) return;
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    if (isEnded(after)) {
      this.#waiting.delete(after.id);
      if (!isEnded(before)) this.#expectChildren(after.id);
      return;
    }
    if (isHalted(after)) {
      this.#waiting.delete(after.id);
      return;
    }
    if (isHalted(before) && after.holder === null && this.#isReady(after)) {
      // Of many workers those who are told look, and tell whoever is to take it.
      return this.#wait(after.id, "order", this.#boundMs(2 * this.#truth.config.heartbeat));
    }
    if (after.holder !== null) {
      const wait = this.#waiting.get(after.id);
      if (wait !== undefined) wait.by = processOf(after.holder);
      return;
    }
    const isParting = before.holder !== null && processOf(before.holder) === by;
    if (!isParting || after.stoppedBy.length > 0 || this.#live.length === 0) return;
    // Who gets it may be gone already, without anybody knowing; then it waits as after a crash.
    const isHeirLive = after.owner === null ||
      this.#live.some(({ workerId }) => workerId === after.owner);
    if (isHeirLive) this.#wait(after.id, "parting", this.#handoverBoundMs());
    else this.#wait(after.id, "crash", this.#lookBoundMs());
  }

  onBatch(process: SimProcess, shardId: string, records: number): void {
    // A factory may take its time before it has a processor for the first record.
    const { scenario, config } = this.#truth;
    // What is left out, or collected for a batch, need not be handed out at once, or ever.
    const isKept = scenario.filtered > 0 || config.maxRecordAge > 0 || config.batchWindow > 0;
    if (records === 0 || isKept || scenario.processor.kind === "factory") {
      this.#processed(process, shardId);
    }
  }

  onDelivery({ process, shardId }: Delivery): void {
    this.#processed(process, shardId);
  }

  get #live(): readonly SimProcess[] {
    return [...this.#truth.processes.values()].filter((process) => process.isLive);
  }

  #expectChildren(shardId: string): void {
    const { stream, table, scenario } = this.#truth;
    if (!scenario.hasChildren || this.#live.length === 0) return;
    for (const { id } of stream.shard(shardId)?.children ?? []) {
      const row = table.read("shard", id);
      if (row?.owner !== null || isHalted(row)) continue;
      if (this.#isReady(row) && row.stoppedBy.length === 0) {
        this.#wait(id, "end of its parents", this.#handoverBoundMs());
      }
    }
  }

  #isReady({ parents }: ShardRow): boolean {
    return parents.every((parent) => {
      const row = this.#truth.table.read("shard", parent);
      return row !== null && isEnded(row);
    });
  }

  /** As long as the periods that it is made of, on a clock that may be slow, and the calls in between. */
  #boundMs(periodsMs: number): number {
    const { scenario, table } = this.#truth;
    const { store, source, driftMax } = scenario;
    const takes = Math.ceil(table.shards().length / TAKES_AT_ONCE);
    const calls = (CALLS + CALLS_PER_TAKE * takes) * 2 * store.latencyMax + 2 * source.latencyMax;
    return periodsMs / (1 - driftMax) + calls + GAPS_MS;
  }

  #handoverBoundMs(): number {
    return this.#boundMs(this.#truth.config.heartbeat);
  }

  #lookBoundMs(): number {
    const { heartbeat, heartbeatTimeout, checkUnprocessedShardsFrequency } = this.#truth.config;
    const look = Math.max(checkUnprocessedShardsFrequency, heartbeat);
    return this.#boundMs(heartbeatTimeout + look + heartbeat);
  }

  /** Where every death is known, those who look all the time see the next one at once; others are told. */
  #crashBoundMs(): number {
    const { world, config, processes } = this.#truth;
    const { heartbeat, heartbeatTimeout } = config;
    const isSecond = world.now - this.#crashedAt < heartbeatTimeout + 4 * heartbeat;
    const fleet =
      [...processes.values()].filter(({ isLive, state }) =>
        isLive || state === "starting" || state === "stopping"
      ).length;
    if (isSecond || fleet >= WATCHERS_MAX) return this.#lookBoundMs();
    const beats = fleet < ON_DUTY_MAX ? 2 : 3;
    return Math.min(this.#lookBoundMs(), this.#boundMs(heartbeatTimeout + beats * heartbeat));
  }

  #processed(process: SimProcess, shardId: string): void {
    const wait = this.#waiting.get(shardId);
    if (wait === undefined || wait.by !== process.name) return;
    this.#waiting.delete(shardId);
    const ms = this.#truth.world.now - wait.since;
    if (wait.why === "crash") this.worstCrashMs = Math.max(this.worstCrashMs, ms);
    else this.worstPartingMs = Math.max(this.worstPartingMs, ms);
  }

  #wait(shardId: string, why: Why, withinMs: number): void {
    const { world } = this.#truth;
    const boundMs = withinMs + this.#notYetMs(shardId);
    const wait = { why, since: world.now, boundMs, by: null };
    this.#waiting.set(shardId, wait);
    const before = this.#fleet();
    world.after(boundMs, () => {
      if (this.#waiting.get(shardId) !== wait || this.#live.length === 0) return;
      // Whoever was to take it may be gone meanwhile, unknown to the others; then the wait begins anew.
      if (this.#fleet() !== before) return this.#wait(shardId, "crash", this.#lookBoundMs());
      world.fail(
        "takeover",
        `${shardId} waits for ${Math.round(boundMs)} ms since ${why} at ${
          Math.round(wait.since)
        } ms${wait.by === null ? "" : `; ${wait.by} has taken it, and does not read`}`,
      );
    });
  }

  /** A shard that begins at a time that has not come yet is not read before. */
  #notYetMs(shardId: string): number {
    const { world, table } = this.#truth;
    const checkpoint = table.read("shard", shardId)?.checkpoint;
    if (checkpoint?.kind !== "timestamp") return 0;
    const leftMs = checkpoint.timestamp - (EPOCH_MS + world.now);
    return leftMs > 0 ? leftMs + 2 * FUTURE_WAIT_MS : 0;
  }

  /**
   * Who there is to take a shard, and how many there ever were: somebody may have come and gone. Whoever is on its way out has
   * told so, and makes no difference when it is gone.
   */
  #fleet(): string {
    const { processes } = this.#truth;
    const takers = [...processes.values()].flatMap(({ name, state }) =>
      state === "starting" || state === "running" ? `${name} ${state}` : []
    );
    return `${processes.size}: ${takers}`;
  }
}

/** A request for a shard is answered or taken back: it never stays longer than `handoverRequestExpiry` and two looks. */
export class RequestsEnd implements Checker {
  readonly #truth: Truth;
  readonly #askedAt = new Map<string, number>();
  #isCalm: boolean;

  constructor(truth: Truth) {
    this.#truth = truth;
    this.#isCalm = truth.scenario.isGentle;
  }

  /** What was paused or waits after failures goes on a while later. */
  onHealed(): void {
    const { world, config, table, scenario } = this.#truth;
    if (scenario.isGentle) return;
    world.after(3 * config.heartbeatTimeout + BACKOFF_MAX_MS, () => {
      this.#isCalm = true;
      for (const row of table.shards()) this.#expectEnd(row);
    });
  }

  onWrite({ isAccepted, before, after }: TableWrite): void {
    this.#countExpired(before, after);
    if (!this.#isCalm || !isAccepted || after?.kind !== "shard") return;
    const isNew = before?.kind === "shard" && before.handover?.id !== after.handover?.id;
    if (isNew) this.#expectEnd(after);
  }

  #countExpired(before: Row | null, after: Row | null): void {
    const { world, coverage, config } = this.#truth;
    const asked = before?.kind === "shard" ? before.handover : null;
    const asks = after?.kind === "shard" ? after.handover : null;
    if (asks !== null && asks.id !== asked?.id) this.#askedAt.set(asks.id, world.now);
    if (asked === null || asks !== null) return;
    const askedAt = this.#askedAt.get(asked.id) ?? world.now;
    this.#askedAt.delete(asked.id);
    if (world.now - askedAt >= config.handoverRequestExpiry) coverage.count("request expired");
  }

  #expectEnd({ id, handover }: ShardRow): void {
    if (handover === null) return;
    const { world, config, table, processes, scenario } = this.#truth;
    const witnesses = [...processes.values()].filter((process) => process.isLive);
    const workers = table.ids("worker").length;
    const started = processes.size;
    const look = Math.min(
      config.checkUnprocessedShardsFrequency,
      config.checkPendingHandoverRequestFrequency,
    );
    const boundMs = (looks: number): number =>
      (config.handoverRequestExpiry + looks * look) / (1 - scenario.driftMax) + MESSAGES_MS;
    const check = (): void => {
      const row = table.read("shard", id);
      if (row?.handover?.id !== handover.id) return;
      // Whoever saw the request and lives looks again when it has expired; of many workers each one looks more seldom.
      if (!witnesses.some((process) => process.isLive)) return this.#expectEnd(row);
      const looks = 2 * Math.max(1, (workers + processes.size - started) / ON_DUTY_MAX);
      const leftMs = since + boundMs(looks) - world.now;
      if (leftMs > 1) return void world.after(leftMs, check);
      const forMs = Math.round(world.now - since);
      world.fail("requests end", `${id} is asked for by ${handover.to} for ${forMs} ms`);
    };
    const since = world.now;
    world.after(boundMs(2), check);
  }
}

/** Facts that must not be told at all. */
export class NoDefects implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onFact(process: SimProcess, fact: AppFact): void {
    const { world } = this.#truth;
    if ("error" in fact && fact.error?.message.startsWith("Invariant broken")) {
      world.fail("no defects", `${process.name}: ${fact.type}: ${fact.error.message}`);
    }
    if (fact.type === "row_malformed") world.fail("no defects", `${process.name}: ${fact.reason}`);
    if (fact.type === "aggregate_malformed" || fact.type === "aggregate_misplaced") {
      world.fail("no defects", `${process.name}: ${fact.type} ${fact.sequenceNumber}`);
    }
    const isForeign = "error" in fact &&
      ["TypeError", "ReferenceError"].includes(fact.error?.name ?? "");
    if (isForeign) world.fail("no defects", `${process.name}: ${JSON.stringify(fact)}`);
  }
}
