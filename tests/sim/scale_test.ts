/**
 * Owns: the bounds that a cluster of some size keeps at the default settings when nothing goes wrong but what is asked for.
 * Must not: run for longer than some seconds; larger ones are for `scale.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { resolveConfig } from "../../src/core/config.ts";
import { type Convergence, measureScale } from "./scale.ts";

const MINUTE = 60_000;
/** What the messages to and from the table take. */
const MESSAGES_MS = 2_000;
const { heartbeat, heartbeatTimeout, checkUnprocessedShardsFrequency } = resolveConfig({});
const TAKEOVER_MS = heartbeatTimeout + checkUnprocessedShardsFrequency + heartbeat + MESSAGES_MS;

/** Says that all shards were taken in time, and ended up evenly spread. */
function check({ heldMs, balancedMs, mostOnOne, leastOnOne }: Convergence, bounds: {
  readonly heldMs: number;
  readonly balancedMs: number;
}): void {
  assert(heldMs !== null && heldMs <= bounds.heldMs, `held after ${heldMs} ms`);
  assert(balancedMs !== null && balancedMs <= bounds.balancedMs, `balanced after ${balancedMs} ms`);
  assert(mostOnOne - leastOnOne <= 1);
}

for (const { workers, shards } of [{ workers: 10, shards: 200 }, { workers: 40, shards: 400 }]) {
  Deno.test(`scale: ${workers} workers share ${shards} shards, outlive half of them, and rest`, async () => {
    const { start, rest, crash, stop, troubles } = await measureScale({ workers, shards });
    assertEquals(troubles, []);
    check(start, { heldMs: 5_000, balancedMs: 10 * MINUTE });
    check(crash, { heldMs: TAKEOVER_MS, balancedMs: 15 * MINUTE });
    check(stop, { heldMs: heartbeat + MESSAGES_MS, balancedMs: 15 * MINUTE });
    const beats = MINUTE / heartbeat;
    assertEquals(rest.writes, workers * beats, "an idle cluster writes nothing but heartbeats");
    assertEquals(rest.claims, 0);
    assert(rest.shardLists <= 16, `${rest.shardLists} times a minute all rows of shards are read`);
    assert(
      rest.workerLists <= 10 * beats + rest.shardLists,
      `${rest.workerLists} lists of workers`,
    );
    const writesOfOneMove = 4;
    const heartbeats = workers * (crash.balancedMs ?? 0) / heartbeat;
    assert(crash.usage.writes <= heartbeats + writesOfOneMove * shards, "no storm of messages");
  });
}
