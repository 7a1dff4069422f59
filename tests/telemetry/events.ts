// Owns: events as a worker tells them, with numbers of the test's.
// Must not: assert anything.
// Called by: the tests of this folder.
import type { AppEvent, AppFact } from "../../src/events.ts";

/** An event of worker "w" at a time in 2026. */
export function event(fact: AppFact, time = "2026-01-02T03:04:05.678Z"): AppEvent {
  return { ...fact, time, workerId: "w" };
}

export function claimed(shardId: string): AppEvent {
  return event({ type: "shard_claimed", shardId, term: 1, from: null, checkpoint: "TRIM_HORIZON" });
}

export function released(shardId: string): AppEvent {
  return event({ type: "shard_released", shardId, term: 1, checkpoint: "TRIM_HORIZON" });
}

export function batch(
  shardId: string,
  numbers: { readonly records?: number; readonly lag?: number; readonly ms?: number } = {},
): AppEvent {
  const { records = 10, lag = 0, ms = 100 } = numbers;
  return event({
    type: "batch_processed",
    shardId,
    records,
    bytes: records * 100,
    filtered: 0,
    millisBehindLatest: lag,
    processMs: ms,
  });
}

export function failed(shardId: string, attempt: number): AppEvent {
  const error = { name: "TypeError", message: "no" };
  return event({ type: "record_failed", shardId, sequenceNumber: "7", attempt, error });
}

export function skipped(shardId: string): AppEvent {
  return event({
    type: "record_skipped",
    shardId,
    sequenceNumber: "7",
    attempts: 2,
    reason: "failed",
  });
}
