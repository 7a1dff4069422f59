/**
 * Owns: the promises about who has a shard: one worker at a time, by its own writes, and no longer than it knows.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { compareCheckpoints } from "../../src/core/checkpoint.ts";
import { isEnded, type Row, type RowFields, type ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery, Truth } from "./checker.ts";
import { processOf } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import type { TableWrite } from "./sim_table.ts";

/** Only the holder of a shard writes as its owner, in its own term; the term goes up by one at every change of owner. */
export class Fencing implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
    if (isAccepted && after?.kind === "worker" && before !== after) this.#register(by, change);
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const { world } = this.#truth;
    const isHolder = before.holder !== null && processOf(before.holder) === by;
    const hasMoved = compareCheckpoints(before.checkpoint, after.checkpoint) !== 0;
    if (hasMoved && !isHolder) {
      return world.fail(
        "fencing",
        `${by} wrote a checkpoint of ${change.id}, held by ${before.holder}`,
      );
    }
    const hasNewTurn = before.owner !== after.owner || before.holder !== after.holder;
    if (after.term !== before.term + (hasNewTurn ? 1 : 0) && after.term !== before.term + 1) {
      return world.fail("fencing", `${change.id} went from term ${before.term} to ${after.term}`);
    }
    if (hasNewTurn && after.term === before.term) {
      return world.fail("fencing", `${change.id} changed hands within term ${before.term}`);
    }
    if (after.holder !== null && hasNewTurn && processOf(after.holder) !== by) {
      return world.fail("fencing", `${by} took ${change.id} in the name of ${after.holder}`);
    }
    if (hasNewTurn) this.#checkGrounds(before, after, by);
  }

  #register(by: string, { set }: TableWrite["change"]): void {
    const { world, processes } = this.#truth;
    const process = processes.get(by);
    if (process === undefined || set === "delete" || !("incarnation" in set)) return;
    process.registeredAt = world.now;
    for (const other of processes.values()) {
      if (other !== process && other.workerId === process.workerId) other.isReplaced = true;
    }
  }

  /** A shard changes hands because its holder wants it, or cannot hold it any more. */
  #checkGrounds(before: ShardRow, after: ShardRow, by: string): void {
    const { world, processes } = this.#truth;
    const holder = before.holder === null ? undefined : processes.get(processOf(before.holder));
    const writer = processes.get(by);
    if (holder === undefined || writer === undefined) return;
    if (holder === writer) {
      const isAnswer = after.owner !== null && after.holder === null && writer.isLive &&
        !after.stoppedBy.includes(before.owner ?? "");
      if (!isAnswer || before.handover?.to === after.owner || writer.wasOperated) return;
      return world.fail(
        "fencing",
        `${by} gave ${after.id} to ${after.owner}, who does not ask for it`,
      );
    }
    if (holder.workerId === writer.workerId) {
      if (holder.registeredAt <= writer.registeredAt) return;
      return world.fail("fencing", `${by} took ${after.id} from its newer namesake ${holder.name}`);
    }
    if (holder.isCrashed || holder.state === "stopped") return;
    if (!holder.worker.shards().some(({ shardId }) => shardId === after.id)) return;
    world.fail("fencing", `${by} took ${after.id}, and ${holder.name} still holds it`);
  }
}

/** The accepted changes of a row follow one from another, and each one named the term that it was made for. */
export class History implements Checker {
  readonly #truth: Truth;
  readonly #last = new Map<string, Row | null>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
    const key = `${change.kind} ${change.id}`;
    const { world } = this.#truth;
    if (before !== (this.#last.get(key) ?? null)) {
      return world.fail("history", `${by} changed ${key} as it was not`);
    }
    this.#last.set(key, after);
    if (!isAccepted || before?.kind !== "shard" || change.expect === "no row") return;
    const { term } = change.expect as RowFields<ShardRow>;
    if (term !== before.term) {
      world.fail("history", `${by} changed ${change.id} in term ${before.term} without naming it`);
    }
  }
}

/** A shard is asked of whoever works on it. */
export class RequestsAddressed implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const { handover } = after;
    if (handover === null || handover.id === before.handover?.id) return;
    const { owner, holder } = before;
    if (holder !== null && owner !== handover.to && !isEnded(before)) return;
    this.#truth.world.fail(
      "requests",
      `${by} asks for ${after.id}, which ${holder === null ? "nobody works on" : "it has itself"}`,
    );
  }
}

/** A worker that says that it lost a shard did lose it, and did not give it away itself. */
export class NoFalseLoss implements Checker {
  readonly #truth: Truth;
  /** Who ended a turn on a shard, and in which term. */
  readonly #partedBy = new Map<string, string>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    if (before.term !== after.term) this.#partedBy.set(`${before.id} ${before.term}`, by);
  }

  onFact(process: SimProcess, fact: AppFact): void {
    if (fact.type !== "lease_lost" || fact.reason.startsWith("no heartbeat")) return;
    if (process.state === "starting") return; // A start that fails gives up everything.
    if (process.state === "stopping") return; // A stop that is out of time does not know what became of its writes.
    const { world, table } = this.#truth;
    const row = table.read("shard", fact.shardId);
    const isHeld = row?.term === fact.term && row.holder !== null &&
      processOf(row.holder) === process.name;
    // When the next owner took it too, nobody can tell any more.
    const wasGiven = row?.term === fact.term + 1 && row.holder === null &&
      this.#partedBy.get(`${fact.shardId} ${fact.term}`) === process.name;
    const isKnown = wasGiven && fact.reason.endsWith("was carried out late");
    if (!isHeld && !wasGiven || isKnown || process.isReplaced) return;
    world.fail(
      "no false loss",
      `${process.name} says that it lost ${fact.shardId} in term ${fact.term} (${fact.reason}), ` +
        `but ${isHeld ? "it has it" : "it gave it away"}`,
    );
  }
}

/** No record is handed out by a worker whose turn on the shard is over, unless a namesake took it. */
export class OneAtATime implements Checker {
  readonly #truth: Truth;
  readonly #inHand = new Map<string, Set<Delivery>>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onDelivery(delivery: Delivery): void {
    const { process, shardId, term } = delivery;
    const { world, table } = this.#truth;
    const inHand = this.#inHand.get(shardId) ?? new Set();
    this.#inHand.set(shardId, inHand.add(delivery));
    const row = table.read("shard", shardId);
    if (row?.term === term && row.holder !== null && processOf(row.holder) === process.name) return;
    if (row?.owner === process.workerId) return; // The older of two namesakes learns it with its next heartbeat.
    if (process.isReplaced) return;
    world.fail(
      "one at a time",
      `${process.name} got a record of ${shardId} in term ${term}, but the row says ` +
        `${row?.holder ?? row?.owner ?? "nobody"} in term ${row?.term}`,
    );
  }

  onReturn(delivery: Delivery): void {
    this.#inHand.get(delivery.shardId)?.delete(delivery);
  }

  onCrash(process: SimProcess): void {
    for (const inHand of this.#inHand.values()) {
      for (const delivery of inHand) if (delivery.process === process) inHand.delete(delivery);
    }
  }

  /** Who still has a record in hand when another one takes the shard was told to stop. */
  onWrite({ isAccepted, after, by }: TableWrite): void {
    if (!isAccepted || after?.kind !== "shard" || after.holder === null) return;
    if (processOf(after.holder) !== by) return;
    const { world, processes, config } = this.#truth;
    // Whoever slept meanwhile learns of it when it has been awake for a moment.
    const awakeAt = world.now - config.heartbeatTimeout * 0.06;
    const taker = processes.get(by);
    for (const { process, signal, term } of this.#inHand.get(after.id) ?? []) {
      if (process.name === by || process.workerId === taker?.workerId || signal.aborted) continue;
      if (process.pausedUntil > awakeAt || process.isReplaced) continue;
      world.fail(
        "one at a time",
        `${by} took ${after.id} in term ${after.term}, while ${process.name} has a record of term ` +
          `${term} in hand and its signal is not aborted`,
      );
    }
  }
}
