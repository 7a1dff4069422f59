/**
 * Owns: seeds in which everything happens at once to what is written with checkpoints: sinks and windows.
 * Must not: decide which seeds have those.
 * Called by: `scenario.ts`.
 *
 * @module
 */

import type { Scenario } from "./scenario.ts";
import { Prng } from "./world.ts";

/** In how many of the seeds that have sinks or windows, and in which anything goes. */
const STORMY = 0.5;
/** How often a reply is lost, at least. */
const REPLY_LOST_MIN = 0.08;
/** How often the table asks to slow down, at least: a shard is to be given up while it does. */
const THROTTLED_MIN = 0.3;
/** So that as a rule a record is in hand then. */
const RECORDS_PER_SECOND_MIN = 6;

/** Draws whether shards are split, stopped, handed over and given other processors while the table fails: a chance of its own. */
export function drawStorm(scenario: Scenario): Scenario {
  const { seed, isGentle, processor, happenings, store, config } = scenario;
  const random = new Prng(seed ^ 0x6c078965);
  const isCandidate = !isGentle && (processor.sinks || processor.windows > 0);
  if (!isCandidate || !random.chance(STORMY)) return scenario;
  const scale = Math.max(20_000, (config.heartbeat ?? 30_000) * 5);
  const often = (everyMs: number): number =>
    Math.min(everyMs || Infinity, random.between(scale, 3 * scale));
  const { stop, join, order, operator, outage, split, merge } = happenings;
  return {
    ...scenario,
    recordsPerSecond: Math.max(scenario.recordsPerSecond, RECORDS_PER_SECOND_MIN),
    shardsMax: Math.max(scenario.shardsMax, scenario.shards + 8),
    happenings: {
      ...happenings,
      ...{ stop: often(stop), join: often(join), order: often(order), operator: often(operator) },
      ...{ outage: often(outage), split: often(split), merge: often(merge) },
    },
    store: {
      ...store,
      replyLost: Math.max(store.replyLost, REPLY_LOST_MIN),
      throttled: Math.max(store.throttled, THROTTLED_MIN),
    },
  };
}
