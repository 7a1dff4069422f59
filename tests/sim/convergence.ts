/**
 * Owns: when a cluster is settled, and how long that may take.
 * Must not: change anything.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { formatCheckpoint } from "../../src/core/checkpoint.ts";
import { isEnded } from "../../src/core/lease.ts";
import type { Truth } from "./checker.ts";
import { isBeforeStart, isSettled } from "./checkers.ts";
import { processOf } from "./sim_clock.ts";
import { placeAfter, type SimShard } from "./sim_stream.ts";
import { openIn } from "./sim_windows.ts";

/** What is not as it should be when nothing happens any more; empty if all is well. */
export function describeUnsettled(truth: Truth): string {
  const { table, stream, processes, config, scenario } = truth;
  const live = [...processes.values()].filter((process) => process.isLive);
  const loads = new Map(live.map((process) => [process.workerId, 0]));
  const unready = [...processes.values()].find(({ state }) =>
    state === "starting" || state === "stopping"
  );
  if (unready !== undefined) return `${unready.name} is ${unready.state}`;
  const still = live.find(({ pausedUntil }) => pausedUntil > truth.world.now);
  if (still !== undefined) return `${still.name} stands still`;
  const busy = live.find(({ recordsInHand }) => recordsInHand > 0);
  if (busy !== undefined) return `${busy.name} has records in hand`;
  for (const shard of stream.shards) {
    if (shard.isGone) {
      // A batch that was read before its records left the stream is processed all the same.
      const left = table.read("shard", shard.id);
      if (left !== null && !isEnded(left)) {
        return `${shard.id} has left the stream, and is not ended`;
      }
      continue;
    }
    const row = table.read("shard", shard.id);
    if (row === null) return `${shard.id} has no row`;
    const unfinished = shard.records.find((record) =>
      !isSettled(shard, record.index) && !isBeforeStart(truth, record.approximateArrivalTimestamp)
    );
    if (unfinished !== undefined) {
      return `record ${unfinished.sequenceNumber} of ${shard.id} is not finished; ` +
        `the row says ${JSON.stringify(row)}`;
    }
    if (scenario.processor.windows > 0 && isEnded(row) && row.state !== null) {
      return `${shard.id} has a state that its children have taken up`;
    }
    if (scenario.processor.windows > 0 && openIn(row).length > 0) {
      return `${shard.id} has windows that are open`;
    }
    if (row.handover !== null) return `${shard.id} is asked for by ${row.handover.to}`;
    if (shard.children !== null) {
      if (row.checkpoint.kind !== "shardEnd") return `${shard.id} is read but not ended`;
      continue;
    }
    // What a former holder finished without writing it down comes again.
    const place = Math.max(placeAfter(shard, row.checkpoint), shard.trimmedTo);
    if (config.checkpointMode === "auto" && place < shard.records.length) {
      return `${shard.id} is finished, but its checkpoint is ${formatCheckpoint(row.checkpoint)}`;
    }
    const holder = row.holder === null ? undefined : processes.get(processOf(row.holder));
    if (holder === undefined || !holder.isLive) {
      return `${shard.id} is held by ${row.holder ?? row.owner ?? "nobody"}, who does not run`;
    }
    if (!holder.worker.shards().some(({ shardId }) => shardId === shard.id)) {
      return `${shard.id} is held by ${holder.name}, who does not know`;
    }
    loads.set(holder.workerId, (loads.get(holder.workerId) ?? 0) + 1);
  }
  const counts = [...loads.values()];
  if (Math.max(...counts) - Math.min(...counts) > 1) return `the load is ${counts.join()}`;
  return "";
}

/** How long it may take from the end of the faults until all is settled, in milliseconds. */
export function settlingMs({ config, scenario, stream }: Truth): number {
  const { heartbeat, heartbeatTimeout, handoverRequestExpiry } = config;
  const { checkStreamChangesFrequency, checkUnprocessedShardsFrequency } = config;
  const generation = Math.max(checkStreamChangesFrequency, checkUnprocessedShardsFrequency) +
    heartbeat + 5_000;
  // Where a processor waits for its checkpoint, the others wait with it.
  const checkpointMs = config.checkpointMode === "manual" ? config.checkpointFrequency / 10 : 0;
  const backlog = stream.shards.reduce((sum, shard) => sum + shard.records.length, 0) *
    (checkpointMs + scenario.processor.workMsMax + 250 + 2 * scenario.source.latencyMax);
  const collectingMs = 10 * config.batchWindow;
  const inHandMs = scenario.processor.slow > 0 ? scenario.processor.slowMsMax : 0;
  return 2 * scenario.processor.windows + inHandMs + collectingMs + 3 * heartbeatTimeout +
    handoverRequestExpiry +
    4 * config.loadBalanceFrequency +
    (depthOf(stream.shards) + 2) * generation + 30 * heartbeat + 120_000 +
    backlog;
}

/** How many generations of shards there are. */
function depthOf(shards: readonly SimShard[]): number {
  const depths = new Map<SimShard, number>();
  for (const shard of shards) {
    depths.set(shard, 1 + Math.max(0, ...shard.parents.map((parent) => depths.get(parent) ?? 0)));
  }
  return Math.max(...depths.values());
}
