/**
 * Owns: the promises about time: how long a stop takes, how long a shard waits, what is left behind.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { AppFact } from "../../src/events.ts";
import type { Checker, Truth } from "./checker.ts";
import { processOf } from "./sim_ports.ts";
import type { SimProcess } from "./sim_process.ts";
import type { TableWrite } from "./sim_table.ts";

/** What a few messages to and from the table may take when nothing goes wrong, in milliseconds. */
const MESSAGES_MS = 2_000;

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

/**
 * When nothing but the crash of a worker happens, its shards are taken within `heartbeatTimeout` +
 * `checkUnprocessedShardsFrequency` + one heartbeat; those of a worker that stops, within one heartbeat.
 */
export class Takeover implements Checker {
  readonly #truth: Truth;
  /** Since when a shard waits for its next owner, and until when it may. */
  readonly #waiting = new Map<string, { readonly since: number; readonly boundMs: number }>();
  /** The longest waits, for the figures. */
  worstCrashMs = 0;
  worstPartingMs = 0;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onCrash(process: SimProcess): void {
    if (!this.#truth.scenario.isGentle) return;
    for (const row of this.#truth.table.shards()) {
      if (row.checkpoint.kind === "shardEnd" || row.stoppedBy.length > 0) continue;
      const isHeld = row.holder !== null && processOf(row.holder) === process.name;
      const isGiven = row.holder === null && row.owner === process.workerId;
      if (isHeld || isGiven) this.#wait(row.id, this.#crashBoundMs(), "crash");
    }
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!this.#truth.scenario.isGentle) return;
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    if (after.holder !== null || after.checkpoint.kind === "shardEnd") {
      const wait = this.#waiting.get(after.id);
      this.#waiting.delete(after.id);
      if (wait !== undefined) this.#measure(wait);
      return;
    }
    // Where everyone refuses it, it waits for an operator.
    const isWanted = [...this.#truth.processes.values()].some((process) =>
      process.isLive && !after.stoppedBy.includes(process.workerId)
    );
    if (!isWanted && after.owner === null) return;
    const isParting = before.holder !== null && processOf(before.holder) === by;
    if (isParting && after.stoppedBy.length === 0) {
      // Who gets it may be gone already, without anybody knowing; then it waits as after a crash.
      const isHeirLive = after.owner === null || [...this.#truth.processes.values()].some(
        (process) => process.isLive && process.workerId === after.owner,
      );
      if (!isHeirLive) return this.#wait(after.id, this.#crashBoundMs(), "crash");
      const { heartbeat } = this.#truth.config;
      this.#wait(after.id, heartbeat * 1.03 + MESSAGES_MS, "parting");
    }
  }

  #crashBoundMs(): number {
    const { heartbeat, heartbeatTimeout, checkUnprocessedShardsFrequency } = this.#truth.config;
    const look = Math.max(checkUnprocessedShardsFrequency, heartbeat);
    return (heartbeatTimeout + look + heartbeat) * 1.03 + MESSAGES_MS;
  }

  #measure(wait: { readonly since: number; readonly boundMs: number }): void {
    const ms = this.#truth.world.now - wait.since;
    const { heartbeatTimeout } = this.#truth.config;
    if (wait.boundMs > heartbeatTimeout) this.worstCrashMs = Math.max(this.worstCrashMs, ms);
    else this.worstPartingMs = Math.max(this.worstPartingMs, ms);
  }

  #wait(shardId: string, boundMs: number, why: "crash" | "parting"): void {
    const { world, processes } = this.#truth;
    const wait = { since: world.now, boundMs };
    this.#waiting.set(shardId, wait);
    const fleet = (): string =>
      [...processes.values()].map(({ name, state }) => `${name} ${state}`).join();
    const before = fleet();
    world.after(boundMs, () => {
      if (this.#waiting.get(shardId) !== wait) return;
      // Whoever was to take it may be gone meanwhile, unknown to the others; then the wait begins anew.
      if (fleet() !== before) return this.#wait(shardId, this.#crashBoundMs(), why);
      world.fail(
        "takeover",
        `${shardId} waits for ${Math.round(boundMs)} ms since a ${why} at ${
          Math.round(wait.since)
        } ms`,
      );
    });
  }
}

/** A request for a shard is answered or taken back: it never stays longer than `handoverRequestExpiry` and two looks. */
export class RequestsEnd implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after }: TableWrite): void {
    if (!this.#truth.scenario.isGentle || !isAccepted || after?.kind !== "shard") return;
    const id = after.handover?.id;
    const isNew = before?.kind === "shard" && before.handover?.id !== id;
    if (id === undefined || !isNew) return;
    const { world, config, table } = this.#truth;
    const look = Math.max(config.checkUnprocessedShardsFrequency, config.heartbeat);
    const boundMs = (config.handoverRequestExpiry + 2 * look) * 1.03 + MESSAGES_MS;
    world.after(boundMs, () => {
      const row = table.read("shard", after.id);
      if (row?.handover?.id !== id) return;
      const { to } = row.handover;
      world.fail("requests end", `${after.id} is asked for by ${to} for ${Math.round(boundMs)} ms`);
    });
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
    const isForeign = "error" in fact &&
      ["TypeError", "ReferenceError"].includes(fact.error?.name ?? "");
    if (isForeign) world.fail("no defects", `${process.name}: ${JSON.stringify(fact)}`);
  }
}
