/**
 * Owns: one turn on one shard, from its checkpoint on: read, process in order, read on after a failure, until the shard
 * ends, stops, is to be given up, or is lost.
 * Must not: decide who gets the shard afterwards.
 * Called by: `runtime/shard_roster.ts`.
 *
 * @module
 */

import { heldBytesOf } from "../core/byte_size.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { messageOf, SourceError, toEventError } from "../errors.ts";
import type { StopReason } from "../events.ts";
import type { Batch, Clock, ShardInfo, StreamSource } from "../ports.ts";
import { FinishedReads, TimedBatch } from "./finished_read.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Processors } from "./processors.ts";
import type { BatchOutcome } from "./record_attempts.ts";
import { RecordRunner, type RecordRunnerDeps } from "./record_runner.ts";
import { Scope } from "./tasks.ts";

/** What the shard runner needs of the worker. */
export interface ShardRunnerDeps extends RecordRunnerDeps {
  readonly source: StreamSource;
  readonly processors: Processors;
  /** After failing to read for this long, in milliseconds, the shard is left to another worker. */
  readonly unreadableAfter: number;
  /** A shard that cannot be found for this long, in milliseconds, has left the stream: one look may be out of date. */
  readonly goneAfter: number;
}

/** How a turn went. */
export type RunOutcome =
  | { readonly kind: "drained" }
  | { readonly kind: "lost" }
  | { readonly kind: "stopped"; readonly reason: StopReason }
  | {
    readonly kind: "ended";
    readonly children: readonly Omit<ShardInfo, "isClosed">[];
    readonly wasTrimmed: boolean;
  };

/** What one turn works with. */
interface Turn {
  readonly records: RecordRunner;
  readonly reads: FinishedReads;
}

const READ_BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 };

/** Processes a shard until the turn is over. `drain` aborts when no further record is to be started. */
export async function runShard(
  deps: ShardRunnerDeps,
  lease: Lease,
  drain: AbortSignal,
): Promise<RunOutcome> {
  const slot = deps.processors.open(lease.shardId);
  const records = new RecordRunner(deps, lease, slot, drain);
  const reads = new FinishedReads(deps, lease, slot, records.until);
  try {
    return await readToTheEnd(deps, lease, { records, reads });
  } finally {
    await records.close();
    await slot.close();
  }
}

async function readToTheEnd(
  deps: ShardRunnerDeps,
  lease: Lease,
  turn: Turn,
): Promise<RunOutcome> {
  const { clock, random, emit } = deps;
  const { records } = turn;
  const begun = await turn.reads.begin();
  if (begun !== "done") return toRunOutcome(begun);
  let lastRead = clock.monotonic();
  let unlistedSince: number | undefined;
  for (let failures = 0;;) {
    try {
      for await (const read of readAhead(deps, lease.shardId, records)) {
        failures = 0;
        unlistedSince = undefined;
        const outcome = await processBatch(read, turn);
        if (outcome !== "read on") return outcome;
        lastRead = clock.monotonic();
      }
      throw new SourceError(`Cannot read on in shard "${lease.shardId}": the reader ended`, {
        kind: "unavailable",
      });
    } catch (error) {
      if (!lease.isHeld || records.until.aborted) return toRunOutcome(await records.leaveOff());
      if (!(error instanceof SourceError)) throw error;
      failures += 1;
      emit({ type: "read_failed", shardId: lease.shardId, error: toEventError(error) });
      const heirs = error.kind === "missing"
        ? await heirsIfUnlisted(deps, lease.shardId, records.until)
        : undefined;
      if (heirs !== undefined) {
        unlistedSince ??= clock.monotonic();
        if (clock.monotonic() - unlistedSince >= deps.goneAfter) {
          return await endTrimmed(clock, heirs, turn);
        }
      } else {
        unlistedSince = undefined;
      }
      if (clock.monotonic() - lastRead >= deps.unreadableAfter) {
        const outcome = toRunOutcome(await records.leaveOff());
        return outcome.kind === "drained" ? { kind: "stopped", reason: "unreadable" } : outcome;
      }
      // An abort ends the wait early, and is seen at the top of the next round.
      await clock.sleep(backoffMs(failures, READ_BACKOFF, random.next()), records.until)
        .catch(() => {});
    }
  }
}

async function processBatch(
  read: TimedBatch,
  { records, reads }: Turn,
): Promise<RunOutcome | "read on"> {
  const { batch } = read;
  let outcome = await records.run(batch);
  if (reads.areWanted) {
    if (outcome === "done") outcome = await records.settled();
    if (outcome === "done") outcome = await reads.tell(read);
  }
  if (outcome === "done" && batch.end !== undefined) {
    outcome = await records.settled();
    if (outcome === "done") outcome = await records.shardEnded();
    if (outcome === "done") {
      return { kind: "ended", children: batch.end.children, wasTrimmed: false };
    }
  }
  return outcome === "done" ? "read on" : toRunOutcome(outcome);
}

/** What the processor keeps goes to the children, if the stream still has them. */
async function endTrimmed(
  clock: Clock,
  children: readonly ShardInfo[],
  { records, reads }: Turn,
): Promise<RunOutcome> {
  let outcome = await records.settled();
  if (outcome === "done" && reads.areWanted) {
    const now = clock.monotonic();
    const batch: Batch = { records: [], millisBehindLatest: 0, end: { children } };
    outcome = await reads.tell(new TimedBatch(batch, { askedAt: now, arrivedAt: now }));
  }
  if (outcome !== "done") return toRunOutcome(outcome);
  return { kind: "ended", children: [], wasTrimmed: true };
}

function toRunOutcome(outcome: Exclude<BatchOutcome, "done">): RunOutcome {
  switch (outcome) {
    case "drained":
    case "lost":
      return { kind: outcome };
    case "recordFailed":
    case "processorFailed":
      return { kind: "stopped", reason: outcome };
    default:
      return outcome satisfies never;
  }
}

/** The batches of a shard after what is in hand; the next one is fetched while the caller works on one, if it is not there already. */
async function* readAhead(
  { source, clock }: Pick<ShardRunnerDeps, "source" | "clock">,
  shardId: string,
  records: RecordRunner,
): AsyncGenerator<TimedBatch> {
  using scope = new Scope(records.until);
  const { budget, readTo } = records;
  let batches: AsyncIterator<Batch> | undefined;
  let aheadBytes = 0;
  const read = async (): Promise<TimedBatch | undefined> => {
    const askedAt = clock.monotonic();
    const { done, value: batch } = await asSourceError(() => {
      batches ??= source.open(shardId, readTo, scope.signal, budget)[Symbol.asyncIterator]();
      return batches.next();
    });
    if (done) return undefined;
    budget.arrived(aheadBytes = heldBytesOf(batch.records));
    return new TimedBatch(batch, { askedAt, arrivedAt: clock.monotonic() });
  };
  let next = read();
  try {
    while (true) {
      const arrived = await budget.awaited(next);
      if (arrived === undefined) return;
      aheadBytes = 0;
      const { end } = arrived.batch;
      if (end === undefined) {
        next = read();
        // Its failure is thrown by the await above, in the next round; if the caller leaves before, nobody needs it.
        next.catch(() => {});
      }
      yield arrived;
      if (end !== undefined) return;
    }
  } finally {
    // This ends a read that is under way; what the reader throws then is the abort.
    scope.abort();
    await batches?.return?.().catch(() => {});
    await next.catch(() => {});
    budget.finished(aheadBytes);
    budget.giveBack();
  }
}

/** A source of the user's may throw anything: that is no defect of this program, which would end the worker. */
async function asSourceError<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof SourceError) throw error;
    throw new SourceError(messageOf(error), { kind: "unavailable", cause: error });
  }
}

/**
 * The children of a shard that the stream does not list, since its records may be older than the stream's retention. Undefined if it
 * does, or if the stream is not there.
 */
async function heirsIfUnlisted(
  deps: ShardRunnerDeps,
  shardId: string,
  signal: AbortSignal,
): Promise<readonly ShardInfo[] | undefined> {
  try {
    const shards = await deps.source.listShards(signal);
    if (shards.some((shard) => shard.id === shardId)) return undefined;
    return shards.filter(({ parents }) => parents.includes(shardId));
  } catch {
    // If the stream itself is missing the worker's own look at the stream says so; here the read is tried again.
    return undefined;
  }
}
