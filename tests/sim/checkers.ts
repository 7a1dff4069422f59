/**
 * Owns: the promises about records and checkpoints that hold at every moment, whatever goes wrong.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { compareCheckpoints, formatCheckpoint } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import { type Checker, type Delivery, isOutOfOrder, type Outcome, type Truth } from "./checker.ts";
import { processOf } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import { placeAfter, type SimRecord, type SimShard } from "./sim_stream.ts";
import type { TableWrite } from "./sim_table.ts";

/**
 * Every record at or below the checkpoint of a shard was finished, or skipped by policy, or has left the stream. One that is
 * skipped is in the failure destination, if there is one.
 */
export class NoLoss implements Checker {
  readonly #truth: Truth;
  /** How many records of a shard are known to be finished. */
  readonly #checked = new Map<string, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "record_skipped") return;
    const { sequenceNumber, subSequenceNumber } = fact;
    const { world, scenario, putAside } = this.#truth;
    const name = `${sequenceNumber}:${subSequenceNumber}`;
    if (scenario.hasDestination && !putAside.has(name)) {
      return world.fail("no loss", `${name} is given up and was not put aside`);
    }
    const record = this.#truth.stream.record(sequenceNumber, subSequenceNumber);
    if (record === undefined) return;
    record.isFinished = true;
    if (fact.reason === "tooOld") record.isPassed = true;
  }

  onReturn(delivery: Delivery, outcome: Outcome): void {
    // What goes into a sink is finished when it is there.
    if (outcome !== "finished" || this.#truth.scenario.processor.sinks) return;
    for (const record of delivery.records) {
      if (!delivery.failed.has(record)) record.isFinished = true;
    }
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

/**
 * Within a turn, the records of a shard come in order and without a gap, from right after the checkpoint on. When several come
 * at once, each comes once, those of a key in order; `NoLoss` holds that none is left out.
 */
export class Order implements Checker {
  readonly #truth: Truth;
  /** For each shard and term, the place of the record that comes next for the first time. */
  readonly #next = new Map<string, number>();
  /** For each shard and term, the places of the records that came and are not to come again. */
  readonly #done = new Map<string, Set<number>>();
  /** For each shard and term, and each key, the place after the last record that came, if several come at once. */
  readonly #nextOfKey = new Map<string, Map<string, number>>();
  /** The turns, by shard and term, in which a request for the shard, or the order to stop it, was taken back. */
  readonly #mayGoBack = new Set<string>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "shard_claimed") return;
    const { table, stream } = this.#truth;
    const row = table.read("shard", fact.shardId);
    const shard = stream.shard(fact.shardId);
    if (row === null || shard === undefined || row.term !== fact.term) return;
    this.#next.set(`${fact.shardId} ${fact.term}`, placeAfter(shard, row.checkpoint));
  }

  onWrite({ isAccepted, before, after }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const isTakenBack = before.handover !== null && after.handover === null ||
      before.order?.kind === "stop" && after.order?.kind !== "stop";
    if (!isTakenBack || before.term !== after.term) return;
    this.#mayGoBack.add(`${before.id} ${before.term}`);
  }

  /** A turn that goes on, because what was asked was taken back, begins anew at what is finished. */
  onOpen(_process: SimProcess, shardId: string): void {
    const turn = `${shardId} ${this.#truth.table.read("shard", shardId)?.term}`;
    if (!this.#mayGoBack.delete(turn)) return;
    this.#nextOfKey.delete(turn);
    if (isOutOfOrder(this.#truth)) this.#done.delete(turn);
  }

  /** What failed comes again, and so does an attempt that was not waited for. */
  onReturn({ shardId, term, records, failed }: Delivery, outcome: Outcome): void {
    const done = this.#done.get(`${shardId} ${term}`);
    for (const record of records) {
      if (outcome !== "finished" || failed.has(record)) done?.delete(record.index);
    }
  }

  onDelivery(delivery: Delivery): void {
    const { process, shardId, term, records, attempt } = delivery;
    const { world, stream, config } = this.#truth;
    if (config.concurrency > 1) return this.#checkKeys(delivery);
    const shard = stream.shard(shardId);
    const turn = `${shardId} ${term}`;
    const done = this.#done.get(turn) ?? new Set();
    this.#done.set(turn, done);
    const mayRepeat = config.checkpointMode === "manual" || config.processTimeout > 0;
    for (const record of records) {
      if (shard === undefined || record.shard !== shard) {
        return world.fail("order", `${process.name} got ${record.sequenceNumber} as of ${shardId}`);
      }
      const { index } = record;
      const expected = this.#next.get(turn) ?? index;
      const isAllowed = index === expected ||
        (index < expected && (mayRepeat || !done.has(index))) ||
        isBeforeStart(this.#truth, shard.records[expected]?.approximateArrivalTimestamp ?? 0) ||
        (index > expected && mayBePassed(shard, expected, index));
      if (!isAllowed) {
        return world.fail(
          "order",
          `${process.name} got ${nameOf(record)} of ${shardId} in term ${term}, ` +
            (index < expected
              ? "which it had got before"
              : `but ${nameOf(shard.records[expected])} comes next`),
        );
      }
      record.deliveries += attempt === 1 ? 1 : 0;
      done.add(index);
      this.#next.set(turn, Math.max(expected, index + 1));
    }
  }

  #checkKeys({ process, shardId, term, records, attempt }: Delivery): void {
    const { world, stream, config } = this.#truth;
    const turn = `${shardId} ${term}`;
    const nextOfKey = this.#nextOfKey.get(turn) ?? new Map<string, number>();
    this.#nextOfKey.set(turn, nextOfKey);
    const start = this.#next.get(turn) ?? 0;
    for (const [i, { shard, index, sequenceNumber, partitionKey }] of records.entries()) {
      // Without an order every record is a key of its own.
      const key = config.orderBy === "none" ? String(index) : partitionKey;
      const next = nextOfKey.get(key) ?? start;
      nextOfKey.set(key, Math.max(next, index + 1));
      const isOfShard = shard === stream.shard(shardId);
      const isAgain = attempt > 1 || config.bisectBatchOnError;
      if (isOfShard && (index >= next || isAgain || i > 0 && index >= start)) continue;
      return world.fail(
        "order",
        `${process.name} got ${sequenceNumber} of ${shardId} in term ${term}, after a later one of its key`,
      );
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

  /** When nothing goes wrong, nobody waits for the next look at the stream: the rows of the children are there first. */
  onWrite({ isAccepted, after, by }: TableWrite): void {
    const { world, stream, table, scenario } = this.#truth;
    if (!scenario.isGentle || !scenario.hasChildren || !isAccepted) return;
    if (after?.kind !== "shard" || after.checkpoint.kind !== "shardEnd") return;
    const missing = stream.shard(after.id)?.children?.find(({ id }) =>
      table.read("shard", id) === null
    );
    if (missing === undefined) return;
    world.fail("lineage", `${by} ended ${after.id}, whose child ${missing.id} has no row`);
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
    if (this.#truth.config.orderBy === "none") return;
    const inHand = new Set(records);
    for (const { previous, sequenceNumber, partitionKey } of records) {
      if (previous === null || inHand.has(previous) || isSettled(previous.shard, previous.index)) {
        continue;
      }
      if (delivery.isAsked && previous.shard.id === shardId) continue;
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
  /** For each shard and term, the places of the records that were finished, if several come at once. */
  readonly #places = new Map<string, Set<number>>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** A turn that was interrupted goes on after the first unfinished record; what was finished beyond it comes again. */
  onDelivery({ shardId, term, records }: Delivery): void {
    const places = this.#places.get(`${shardId} ${term}`) ?? new Set();
    const again = records.find(({ index }) => places.has(index));
    if (again === undefined) return;
    for (const place of places) if (place >= again.index) places.delete(place);
  }

  onReturn({ shardId, term, records, failed }: Delivery, outcome: Outcome): void {
    const last = records.findLast((record) => !failed.has(record));
    if (outcome !== "finished" || last === undefined) return;
    const turn = `${shardId} ${term}`;
    this.#finished.set(turn, last.index + 1);
    if (!isOutOfOrder(this.#truth)) return;
    const places = this.#places.get(turn) ?? new Set();
    this.#places.set(turn, places);
    for (const record of records) if (!failed.has(record)) places.add(record.index);
  }

  onWrite({ isAccepted, before, after, by, change }: TableWrite): void {
    if (isAccepted && before?.kind === "shard" && after === null) this.#forget(before);
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const { set } = change;
    const isParting = before.holder !== null && processOf(before.holder) === by &&
      after.holder === null && set !== "delete" && "checkpoint" in set;
    const { world, stream, config, processes } = this.#truth;
    const shard = stream.shard(before.id);
    if (!isParting || shard === undefined || config.checkpointMode === "manual") return;
    const turn = `${before.id} ${before.term}`;
    const finished = this.#finished.get(turn);
    const until = placeAfter(shard, after.checkpoint);
    if (finished === undefined || finished <= until) return;
    // What is finished beyond the first unfinished record comes again.
    const beyond = isOutOfOrder(this.#truth);
    if (beyond && this.#places.get(turn)?.has(until) !== true) return;
    const process = processes.get(by);
    // What a stop had to give up is processed again.
    if (process !== undefined && process.isOutOfTime(config.shutdownTimeout * 0.5)) return;
    world.fail(
      "no duplicates at parting",
      `${by} gave up ${before.id} in term ${before.term} at ${
        formatCheckpoint(after.checkpoint)
      }, ` +
        `but had finished ${shard.records[beyond ? until : finished - 1]?.sequenceNumber}`,
    );
  }

  /** An old list may bring back the row of a shard that has left the stream: its terms begin anew, with nothing to read. */
  #forget({ id, term }: ShardRow): void {
    for (let past = 0; past <= term; past++) {
      this.#finished.delete(`${id} ${past}`);
      this.#places.delete(`${id} ${past}`);
    }
  }
}

function nameOf(record: SimRecord | undefined): string {
  return `${record?.sequenceNumber}:${record?.subSequenceNumber ?? ""}`;
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

/** Whether a turn may go on at a place without the records from another one on. */
function mayBePassed(shard: SimShard, from: number, until: number): boolean {
  if (until <= shard.trimmedTo) return true;
  for (let place = Math.max(from, shard.trimmedTo); place < until; place++) {
    if (shard.records[place]?.isPassed !== true) return false;
  }
  return true;
}
