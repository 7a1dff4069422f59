/**
 * Owns: the promises about records and rows that hold at every moment, whatever goes wrong.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { compareCheckpoints, formatCheckpoint } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery, Outcome, Truth } from "./checker.ts";
import { processOf } from "./sim_ports.ts";
import type { SimProcess } from "./sim_process.ts";
import { placeAfter, type SimShard } from "./sim_stream.ts";
import type { TableWrite } from "./sim_table.ts";

/** Every record at or below the checkpoint of a shard was finished, or skipped by policy, or has left the stream. */
export class NoLoss implements Checker {
  readonly #truth: Truth;
  /** How many records of a shard are known to be finished. */
  readonly #checked = new Map<string, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "record_skipped") return;
    const record = this.#truth.stream.record(fact.sequenceNumber);
    if (record !== undefined) record.isFinished = true;
  }

  onReturn(delivery: Delivery, outcome: Outcome): void {
    if (outcome !== "finished") return;
    for (const record of delivery.records) record.isFinished = true;
  }

  onWrite({ isAccepted, after, by }: TableWrite): void {
    if (!isAccepted || after?.kind !== "shard") return;
    const { world, stream } = this.#truth;
    const shard = stream.shard(after.id);
    if (shard === undefined) return world.fail("no loss", `a row for unknown shard ${after.id}`);
    const { checkpoint } = after;
    if (checkpoint.kind === "shardEnd" && shard.children === null) {
      return world.fail("no loss", `${by} ended ${shard.id}, which is open`);
    }
    if (checkpoint.kind !== "sequence" && checkpoint.kind !== "shardEnd") return;
    const until = placeAfter(shard, checkpoint);
    for (let place = this.#checked.get(shard.id) ?? 0; place < until; place++) {
      const record = shard.records[place];
      if (record === undefined || isSettled(shard, place)) continue;
      // Where the stream begins, records from before count as done.
      if (isBeforeStart(this.#truth, record.approximateArrivalTimestamp)) continue;
      const { sequenceNumber } = record;
      const position = formatCheckpoint(checkpoint);
      return world.fail(
        "no loss",
        `${by} wrote checkpoint ${position} of ${shard.id}, but ${sequenceNumber} is not finished`,
      );
    }
    this.#checked.set(shard.id, Math.max(until, this.#checked.get(shard.id) ?? 0));
  }
}

/** A checkpoint never goes back, and the end of a shard is final. */
export class CheckpointOnlyMovesOn implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
    if (!isAccepted || change.kind !== "shard") return;
    const { world, stream } = this.#truth;
    const row = before as ShardRow | null;
    const next = after as ShardRow | null;
    if (next === null) {
      if (row?.checkpoint.kind === "shardEnd" && stream.shard(row.id)?.isGone) return;
      return world.fail("checkpoint", `${by} deleted the row of ${change.id}, which is not over`);
    }
    if (row === null || compareCheckpoints(next.checkpoint, row.checkpoint) >= 0) return;
    const [from, to] = [row, next].map(({ checkpoint }) => formatCheckpoint(checkpoint));
    world.fail("checkpoint", `${by} moved ${row.id} back from ${from} to ${to}`);
  }
}

/** Only the holder of a shard writes as its owner, in its own term; the term goes up by one at every change of owner. */
export class Fencing implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
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

  /** A shard changes hands because its holder wants it, or cannot hold it any more. */
  #checkGrounds(before: ShardRow, after: ShardRow, by: string): void {
    const { world, processes } = this.#truth;
    const holder = before.holder === null ? undefined : processes.get(processOf(before.holder));
    const writer = processes.get(by);
    if (holder === undefined || writer === undefined) return;
    if (holder === writer) {
      const isAnswer = after.owner !== null && after.holder === null && writer.isLive &&
        before.stoppedBy.length === after.stoppedBy.length;
      if (!isAnswer || before.handover?.to === after.owner) return;
      return world.fail(
        "fencing",
        `${by} gave ${after.id} to ${after.owner}, who does not ask for it`,
      );
    }
    if (holder.workerId === writer.workerId) {
      if (holder.startedAt <= writer.startedAt) return;
      return world.fail("fencing", `${by} took ${after.id} from its newer namesake ${holder.name}`);
    }
    if (holder.isCrashed || holder.state === "stopped") return;
    if (!holder.worker.shards().some(({ shardId }) => shardId === after.id)) return;
    world.fail("fencing", `${by} took ${after.id}, and ${holder.name} still holds it`);
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
    if (fact.reason.startsWith("the time for stopping")) return; // It leaves what it still has to others.
    const { world, table } = this.#truth;
    const row = table.read("shard", fact.shardId);
    const isHeld = row?.term === fact.term && row.holder !== null &&
      processOf(row.holder) === process.name;
    // When the next owner took it too, nobody can tell any more.
    const wasGiven = row?.term === fact.term + 1 && row.holder === null &&
      this.#partedBy.get(`${fact.shardId} ${fact.term}`) === process.name;
    if (!isHeld && !wasGiven || process.isReplaced) return;
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
    const { world, processes } = this.#truth;
    const taker = processes.get(by);
    for (const { process, signal, term } of this.#inHand.get(after.id) ?? []) {
      if (process.name === by || process.workerId === taker?.workerId || signal.aborted) continue;
      if (process.pausedUntil > world.now || process.isReplaced) continue;
      world.fail(
        "one at a time",
        `${by} took ${after.id} in term ${after.term}, while ${process.name} has a record of term ` +
          `${term} in hand and its signal is not aborted`,
      );
    }
  }
}

/** Within a turn, the records of a shard come in order and without a gap, from right after the checkpoint on. */
export class Order implements Checker {
  readonly #truth: Truth;
  /** For each shard and term, the place of the record that comes next. */
  readonly #next = new Map<string, number>();
  /** For each shard and term, the place of a record that failed, and comes again. */
  readonly #failed = new Map<string, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onReturn({ shardId, term, records }: Delivery, outcome: Outcome): void {
    const [first] = records;
    if (outcome !== "finished" && first !== undefined) {
      this.#failed.set(`${shardId} ${term}`, first.index);
    }
  }

  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "shard_claimed") return;
    const { table, stream } = this.#truth;
    const row = table.read("shard", fact.shardId);
    const shard = stream.shard(fact.shardId);
    if (row === null || shard === undefined || row.term !== fact.term) return;
    this.#next.set(`${fact.shardId} ${fact.term}`, placeAfter(shard, row.checkpoint));
  }

  onDelivery(delivery: Delivery): void {
    const { process, shardId, term, records, attempt } = delivery;
    const { world, stream, config } = this.#truth;
    const shard = stream.shard(shardId);
    const key = `${shardId} ${term}`;
    for (const [i, record] of records.entries()) {
      if (shard === undefined || record.shard !== shard) {
        return world.fail("order", `${process.name} got ${record.sequenceNumber} as of ${shardId}`);
      }
      const expected = this.#next.get(key);
      const isRepeated = expected !== undefined && record.index < expected;
      const isAllowed = expected === undefined || record.index === expected ||
        isBeforeStart(this.#truth, shard.records[expected]?.approximateArrivalTimestamp ?? 0) ||
        (isRepeated &&
          (record.index === this.#failed.get(key) || i > 0 || attempt > 1 ||
            config.checkpointMode === "manual")) ||
        (record.index > expected && isTrimmed(shard, expected, record.index));
      if (!isAllowed) {
        return world.fail(
          "order",
          `${process.name} got ${record.sequenceNumber} of ${shardId} in term ${term}, ` +
            `but ${shard.records[expected]?.sequenceNumber} comes next`,
        );
      }
      record.deliveries += attempt === 1 ? 1 : 0;
      this.#next.set(key, record.index + 1);
    }
  }
}

/** No record of a shard before every record of its parents is finished; per key, no record before the one before it. */
export class Lineage implements Checker {
  readonly #truth: Truth;
  readonly #finishedParents = new Set<string>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onDelivery(delivery: Delivery): void {
    const { process, shardId, records } = delivery;
    const { world, stream, table } = this.#truth;
    const shard = stream.shard(shardId);
    if (shard === undefined) return;
    if (!this.#finishedParents.has(shardId)) {
      for (const parent of shard.parents) {
        const row = table.read("shard", parent.id);
        if (parent.isGone || row?.checkpoint.kind === "shardEnd") continue;
        return world.fail(
          "lineage",
          `${process.name} got a record of ${shardId} before its parent ${parent.id} ended`,
        );
      }
      this.#finishedParents.add(shardId);
    }
    const inHand = new Set(records);
    for (const { previous, sequenceNumber, partitionKey } of records) {
      if (previous === null || inHand.has(previous) || isSettled(previous.shard, previous.index)) {
        continue;
      }
      if (isBeforeStart(this.#truth, previous.approximateArrivalTimestamp)) continue;
      return world.fail(
        "order of a key",
        `${process.name} got ${sequenceNumber} of key ${partitionKey} before ` +
          `${previous.sequenceNumber} was finished`,
      );
    }
  }
}

/** Whoever gives a shard up writes down everything that it finished: a handover or a stop makes no duplicates. */
export class NoDuplicatesAtParting implements Checker {
  readonly #truth: Truth;
  /** For each shard and term, one more than the place of the last record that was finished. */
  readonly #finished = new Map<string, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onReturn({ shardId, term, records }: Delivery, outcome: Outcome): void {
    const last = records.at(-1);
    if (outcome === "finished" && last !== undefined) {
      this.#finished.set(`${shardId} ${term}`, last.index + 1);
    }
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const { set } = change;
    const isParting = before.holder !== null && processOf(before.holder) === by &&
      after.holder === null && set !== "delete" && "checkpoint" in set;
    const { world, stream, config, processes } = this.#truth;
    const shard = stream.shard(before.id);
    if (!isParting || shard === undefined || config.checkpointMode === "manual") return;
    const finished = this.#finished.get(`${before.id} ${before.term}`);
    if (finished === undefined || finished <= placeAfter(shard, after.checkpoint)) return;
    const process = processes.get(by);
    // What a stop had to give up is processed again.
    if (process !== undefined && process.isOutOfTime(config.shutdownTimeout * 0.5)) return;
    world.fail(
      "no duplicates at parting",
      `${by} gave up ${before.id} in term ${before.term} at ${
        formatCheckpoint(after.checkpoint)
      }, ` +
        `but had finished ${shard.records[finished - 1]?.sequenceNumber}`,
    );
  }
}

/** Whether a record needs no processing any more. */
export function isSettled(shard: SimShard, place: number): boolean {
  return place < shard.trimmedTo || (shard.records[place]?.isFinished ?? true);
}

/** Whether a record was put before the position at which the app began. */
export function isBeforeStart({ table }: Truth, arrival: number): boolean {
  const start = table.read("stream", "stream")?.startAt;
  return start?.kind === "timestamp" && arrival < start.timestamp;
}

function isTrimmed(shard: SimShard, from: number, until: number): boolean {
  return until <= shard.trimmedTo || from >= until;
}
