import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Ansis } from "ansis";
import { openJsonLog, openPrettyLog, PrettyLog } from "../../src/cli/event_log.ts";
import { eventText, shortPosition } from "../../src/cli/event_text.ts";
import { OutputQueue } from "../../src/cli/output_queue.ts";
import type { AppEvent } from "../../src/events.ts";
import { fakeTerminal } from "./cli_testing.ts";

const STAMP = { time: "2026-01-02T03:04:05.678Z", workerId: "w1" };

function batch(records: number, millisBehindLatest = 0): AppEvent {
  return {
    type: "batch_processed",
    shardId: "shardId-1",
    records,
    bytes: 1_000_000,
    filtered: 0,
    millisBehindLatest,
    processMs: 12,
    ...STAMP,
  };
}

Deno.test("the JSON log writes one event a line, the common fields first", async () => {
  const terminal = fakeTerminal();
  const log = openJsonLog(terminal);
  log.onEvent({ type: "worker_started", version: "1", streamName: "S\n", ...STAMP });
  log.onEvent(batch(3));
  await log.close();
  const lines = terminal.stdout().split("\n");
  assertEquals(lines.length, 3);
  assertEquals(
    lines[0],
    `{"type":"worker_started","time":"${STAMP.time}","workerId":"w1","version":"1","streamName":"S\\n"}`,
  );
  assertEquals(Object.keys(JSON.parse(lines[1] ?? "")), [
    "type",
    "time",
    "workerId",
    "shardId",
    "records",
    "bytes",
    "filtered",
    "millisBehindLatest",
    "processMs",
  ]);
  assertEquals(terminal.stderr(), "");
});

/** A log whose lines and clock the test has in its hands. */
function prettyLog() {
  const lines: string[] = [];
  let now = 0;
  const pretty = new PrettyLog({
    push: (line) => lines.push(line),
    paint: new Ansis(0),
    nowMs: () => now,
  });
  const tickAt = (ms: number): void => {
    now = ms;
    pretty.tick();
  };
  return { pretty, lines, tickAt };
}

Deno.test("the pretty log: an error of several lines passes for one event only", () => {
  const { pretty, lines } = prettyLog();
  const error = { name: "Error", message: "no JSON:\n12:00:00 took shardId-9" };
  pretty.onEvent({ type: "read_failed", shardId: "shardId-1", error, ...STAMP });
  assertMatch(lines.join(), /^\d\d:\d\d:\d\d cannot read .*no JSON:\n {9}12:00:00 took shardId-9$/);
});

Deno.test("the pretty log writes sentences to stderr and a summary instead of batches", async () => {
  const terminal = fakeTerminal();
  const log = await openPrettyLog(terminal);
  log.onEvent({
    type: "shard_claimed",
    shardId: "shardId-1",
    term: 4,
    from: "w2",
    checkpoint: "TRIM_HORIZON",
    ...STAMP,
  });
  for (let index = 0; index < 100; index++) log.onEvent(batch(50));
  await log.close();
  assertEquals(terminal.stdout(), "");
  const lines = terminal.stderr().trimEnd().split("\n");
  assertEquals(lines.length, 2);
  assertMatch(
    lines[0] ?? "",
    /^\d\d:\d\d:\d\d took shardId-1: it was w2's; goes on after TRIM_HORIZON, term 4$/,
  );
  assertMatch(lines[1] ?? "", /processed 5,000 records \(100.0 MB\) of 1 shard, caught up$/);
});

Deno.test("a summary comes when records stop, or every ten seconds while they flow", () => {
  const { pretty, lines, tickAt } = prettyLog();
  pretty.onEvent(batch(1));
  tickAt(1_000);
  assertEquals(lines, []);
  tickAt(2_000);
  assertEquals(lines.length, 1);
  tickAt(60_000);
  assertEquals(lines.length, 1);
  for (let second = 60; second < 75; second++) {
    pretty.onEvent(batch(1, 90_000));
    tickAt(1_000 * second);
  }
  assertEquals(lines.length, 2);
  assertMatch(lines[1] ?? "", /\d records \(.*, 1\/s, 1\.\d MB\/s\) of 1 shard, 90s behind$/);
  lines.length = 0;
  tickAt(76_000);
  tickAt(77_000);
  pretty.onEvent(batch(0));
  tickAt(90_000);
  assertEquals(lines.length, 1);
});

Deno.test("a long sequence number is shown by its end, other positions whole", () => {
  const sequenceNumber = "49545115243490985018280067714973144582180062593244200961";
  assertEquals(shortPosition(sequenceNumber), "...44200961");
  assertEquals(shortPosition("TRIM_HORIZON"), "TRIM_HORIZON");
  assertEquals(shortPosition("AT_TIMESTAMP:2026-01-02T03:04:05.678Z").length, 37);
});

Deno.test("what a person must act on is loud", () => {
  const error = { name: "TypeError", message: "no" };
  assertEquals(
    eventText({ type: "worker_stopped", error, ...STAMP }),
    { tone: "bad", text: "worker w1 had to stop" },
  );
  assertEquals(eventText({ type: "worker_stopped", ...STAMP })?.tone, "good");
  const failed = { shardId: "s", sequenceNumber: "1", attempt: 2, error };
  const told = eventText({ type: "record_failed", ...failed, ...STAMP });
  assertEquals(told, {
    tone: "warning",
    text: "attempt 2 failed for record 1 of s: TypeError: no",
  });
  const at = { ...error, at: "file:///app/processor.ts:12:5" };
  const placed = eventText({ type: "record_failed", ...failed, error: at, ...STAMP });
  assertEquals(placed?.text, `${told?.text} (processor.ts:12:5)`);
});

Deno.test("lines wait for a slow reader, in order, and none is lost", async () => {
  const written: string[] = [];
  let writes = 0;
  const queue = new OutputQueue(async (text) => {
    await new Promise((resolve) => setTimeout(resolve, writes++ % 2));
    written.push(text);
  });
  for (let index = 0; index < 1_000; index++) {
    queue.push(String(index));
    if (index % 100 === 0) await Promise.resolve();
  }
  await queue.flushed();
  assertEquals(
    written.join(""),
    Array.from({ length: 1_000 }, (_, index) => `${index}\n`).join(""),
  );
  assert(writes < 20, "what waits goes together");
});

Deno.test("a reader that went away is reported and not waited for", async () => {
  const queue = new OutputQueue(() => Promise.reject(new Deno.errors.BrokenPipe("gone")));
  queue.push("a");
  assertStringIncludes((await queue.failed).message, "nobody reads it any more");
  queue.push("b");
  await queue.flushed();
});

Deno.test("a reader that does not read does not fill the memory", async () => {
  const queue = new OutputQueue(() => new Promise(() => {}));
  for (let index = 0; index < 70; index++) queue.push("x".repeat(1024 * 1024));
  assertStringIncludes((await queue.failed).message, "too far behind");
  await queue.flushed();
});

Deno.test("when every record fails, a person is told some and the count of the rest", () => {
  const { pretty, lines, tickAt } = prettyLog();
  const error = { name: "Error", message: "no" };
  for (let attempt = 1; attempt <= 1_050; attempt++) {
    const failed = { shardId: "s", sequenceNumber: "1", attempt, error };
    pretty.onEvent({ type: "record_failed", ...failed, ...STAMP });
  }
  pretty.onEvent({ type: "shard_start_requested", shardId: "s", ...STAMP });
  assertEquals(lines.length, 51);
  tickAt(10_000);
  assertMatch(lines.at(-1) ?? "", /and 1,000 events more of record_failed$/);
});
