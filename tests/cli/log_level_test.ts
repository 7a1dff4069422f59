import { assertEquals, assertMatch } from "@std/assert";
import { openJsonLog, openPrettyLog } from "../../src/cli/event_log.ts";
import { isLogged, levelOf } from "../../src/cli/log_level.ts";
import type { AppEvent, AppFact } from "../../src/events.ts";
import { fakeTerminal } from "./cli_testing.ts";

const ERROR = { name: "Error", message: "no" };
const COUNTS = { records: 2, bytes: 10, filtered: 0, processMs: 12.3 };

/** One event of each level, the least important first. */
const EVENTS = ([
  { type: "batch_processed", shardId: "s", ...COUNTS, millisBehindLatest: 0 },
  { type: "shard_claimed", shardId: "s", term: 1, from: null, checkpoint: "TRIM_HORIZON" },
  { type: "heartbeat_failed", error: ERROR },
  { type: "worker_stopped", error: ERROR },
] satisfies AppFact[]).map((fact): AppEvent => ({
  ...fact,
  time: "2026-01-02T03:04:05.678Z",
  workerId: "w",
}));

const LEVELS = ["debug", "info", "warn", "error"] as const;

Deno.test("each event has a level, and a log tells those of its own and above", () => {
  assertEquals(EVENTS.map(levelOf), [...LEVELS]);
  for (const [i, level] of LEVELS.entries()) {
    assertEquals(EVENTS.filter((event) => isLogged(event, level)), EVENTS.slice(i), level);
  }
});

Deno.test("the JSON log tells everything, unless told otherwise", async () => {
  for (const [level, lines] of [[undefined, 4], ["info", 3], ["error", 1]] as const) {
    const terminal = fakeTerminal();
    const log = openJsonLog(terminal, level);
    EVENTS.forEach((event) => log.onEvent(event));
    await log.close();
    assertEquals(terminal.stdout().trimEnd().split("\n").length, lines, level);
  }
});

Deno.test("the pretty log sums batches up; at debug it tells each, above info none", async () => {
  const texts: string[] = [];
  for (const level of ["debug", "info", "warn"] as const) {
    const terminal = fakeTerminal();
    const log = await openPrettyLog(terminal, level);
    EVENTS.forEach((event) => log.onEvent(event));
    await log.close();
    texts.push(terminal.stderr());
  }
  const [debug = "", info = "", warn = ""] = texts;
  assertMatch(debug, /processed 2 records \(10 bytes\) of s in 12ms, caught up/);
  assertEquals(debug.split("\n").length, 5, "and no summary besides");
  assertMatch(info, /processed 2 records \(10 B\) of 1 shard, caught up/);
  assertMatch(warn, /^\S+ no heartbeat written: no\n\S+ worker w had to stop\n$/);
});

Deno.test("what may cost records is loud", () => {
  const stamp = { time: "2026-01-02T03:04:05.678Z", workerId: "w" };
  const near = { shardId: "s", millisBehindLatest: 1, retentionMs: 2, ...stamp } as const;
  assertEquals(levelOf({ type: "lag_near_retention", percent: 50, ...near }), "warn");
  assertEquals(levelOf({ type: "lag_near_retention", percent: 80, ...near }), "error");
  const lost = { shardId: "s", checkpoint: "7", ageMs: 3, retentionMs: 2, ...stamp };
  assertEquals(levelOf({ type: "checkpoint_expired", ...lost }), "error");
});

Deno.test("many shards that move at once in the same way are one sentence, few are one each", async () => {
  const terminal = fakeTerminal();
  const log = await openPrettyLog(terminal);
  const stamp = { time: "2026-01-02T03:04:05.678Z", workerId: "w" };
  const from = (shard: number): string | null => shard < 50 ? null : "w2";
  for (let shard = 0; shard < 52; shard++) {
    const term = { term: 1, checkpoint: "TRIM_HORIZON" };
    const shardId = `s${shard}`;
    log.onEvent({ type: "shard_claimed", shardId, ...term, from: from(shard), ...stamp });
    log.onEvent({ type: "shard_handed_over", shardId, ...term, to: "w3", ...stamp });
  }
  log.onEvent({ type: "processor_changed", ...stamp });
  await log.close();
  const lines = terminal.stderr().trimEnd().split("\n").map((line) => line.slice(9));
  assertEquals(lines, [
    "took 50 shards that were free: s0, s1, s2 and 47 more",
    "gave 52 shards to w3: s0, s1, s2 and 49 more",
    "took s50: it was w2's; goes on after TRIM_HORIZON, term 1",
    "took s51: it was w2's; goes on after TRIM_HORIZON, term 1",
    "the processor was changed",
  ]);
});
