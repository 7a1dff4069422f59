// Owns: records that are asked for: when one is finished, what leaving a loop does, how a loop ends.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { retryAndStop } from "../../src/core/policy.ts";
import { readRecords } from "../../src/reader.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";
import { checkpointOf, leave, startBatches, startRecords, take } from "./reader_testing.ts";

Deno.test("reader: a record is finished when the loop asks for the next one, and not before", async () => {
  const cluster = new Cluster(1);
  cluster.put(3);
  const { reader } = await startRecords(cluster, "A");
  const loop = reader[Symbol.asyncIterator]();
  const first = await take(cluster, loop);
  assertEquals(first.record.text(), "0");
  await cluster.clock.advance(5_000);
  assertEquals(await checkpointOf(cluster), 0);
  assertEquals((await take(cluster, loop)).record.text(), "1");
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 1);
  await leave(cluster, loop);
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("reader: ack() finishes a record while it is in hand, and a second word does nothing", async () => {
  const cluster = new Cluster(1);
  cluster.put(2);
  const { reader, failures } = await startRecords(cluster, "A");
  const loop = reader[Symbol.asyncIterator]();
  const { ack, nack } = await take(cluster, loop);
  ack();
  nack(new Error("too late"));
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 1);
  assertEquals((await take(cluster, loop)).record.text(), "1");
  assertEquals(failures(), []);
  await leave(cluster, loop);
});

Deno.test("reader: break stops the worker at once; what was in hand is not finished, and has not failed", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  cluster.put(20);
  const { reader, failures } = await startRecords(cluster, "A");
  await cluster.start("B", journal.of("B"), { loadBalanceFrequency: 80_000_000 });
  const seen: string[] = [];
  const loop = (async () => {
    for await (const { record } of reader) {
      seen.push(record.text());
      if (seen.length === 5) break;
    }
  })();
  const begun = cluster.clock.monotonic();
  await cluster.clock.until(loop);
  assert(cluster.clock.monotonic() - begun < 1_000, "nobody waited for a time-out");
  await reader.app.finished;
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  const inHand = seen.at(-1) ?? "";
  const finished = new Set(seen.slice(0, -1));
  assertEquals(journal.texts().filter((text) => finished.has(text)), [], "nothing comes twice");
  assert(journal.texts().includes(inHand), "what was in hand comes again");
  assertEquals(new Set([...seen, ...journal.texts()].map(Number)), new Set(upTo(20)));
  assertEquals(failures(), []);
});

Deno.test("reader: a throw in the loop comes out of it, and stops the worker", async () => {
  const cluster = new Cluster(1);
  cluster.put(3);
  const { reader } = await startRecords(cluster, "A");
  const loop = (async () => {
    for await (const { record } of reader) if (record.text() === "1") throw new Error("mine");
  })();
  await assertRejects(() => cluster.clock.until(loop), Error, "mine");
  await reader.app.finished;
  assertEquals(await checkpointOf(cluster), 1);
});

Deno.test("reader: stop() lets the loop finish what it has in hand, then the loop ends", async () => {
  const cluster = new Cluster(1);
  cluster.put(3);
  const { reader } = await startRecords(cluster, "A");
  const work = Promise.withResolvers<void>();
  const seen: string[] = [];
  const loop = (async () => {
    for await (const { record } of reader) {
      seen.push(record.text());
      await work.promise;
    }
  })();
  await settled();
  const stopped = reader.stop();
  await cluster.clock.advance(1_000);
  work.resolve();
  await cluster.clock.until(Promise.all([loop, stopped]));
  assertEquals(seen, ["0"]);
  assertEquals(await checkpointOf(cluster), 1);
  assertEquals(cluster.clock.sleeping, 0);
});

for (const [what, start] of Object.entries({ records: startRecords, batches: startBatches })) {
  Deno.test(`reader: ${what} that nobody takes hold up neither the stop nor a handover, and have not failed`, async () => {
    await using cluster = new Cluster(2);
    const journal = new Journal();
    cluster.put(20);
    const { reader, failures } = await start(cluster, "A");
    await cluster.start("B", journal.of("B"));
    await cluster.clock.advance(2 * CONFIG.loadBalanceFrequency);
    assertEquals(reader.app.shards().length, 1, "one was handed over");
    const begun = cluster.clock.monotonic();
    await cluster.clock.until(reader.stop());
    assert(cluster.clock.monotonic() - begun < 1_000);
    await cluster.clock.advance(2 * CONFIG.heartbeat);
    assertEquals(journal.numbers(), upTo(20));
    assertEquals(failures(), []);
  });
}

Deno.test("reader: nack() is a failed attempt: it comes again, counted, and is given up as the mode says", async () => {
  const cluster = new Cluster(1);
  cluster.put(2);
  const given: string[] = [];
  const { reader, events } = await startRecords(cluster, "A", {
    getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 1 }),
    onMaxRetryExceeded: (record, _mode, error) => void given.push(`${record.text()} ${error}`),
  });
  const loop = reader[Symbol.asyncIterator]();
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { record, context, nack } = await take(cluster, loop);
    seen.push(`${record.text()} ${context.attempt}`);
    if (record.text() === "0") nack("no");
  }
  assertEquals(seen, ["0 1", "0 2", "1 1"]);
  assertEquals(given, ["0 no"]);
  assertEquals(events.filter(({ type }) => type === "record_failed").length, 2);
  await leave(cluster, loop);
});

Deno.test("reader: a record that stops its shard leaves the loop on the others", async () => {
  const cluster = new Cluster(2);
  cluster.put(20);
  const { reader } = await startRecords(cluster, "A", {
    getErrorHandlingMode: () => retryAndStop(0),
  });
  const seen = new Set<string>();
  void (async () => {
    for await (const { record, nack } of reader) {
      if (record.text() === "0") nack(new Error("poison"));
      else seen.add(record.text());
    }
  })();
  await cluster.clock.advance(5_000);
  assertEquals(reader.app.shards().length, 1);
  assert(seen.size > 0 && !seen.has("0"));
  await cluster.clock.until(reader.stop());
});

Deno.test("reader: with processTimeout, the time runs from when the record is in hand; after it, it comes again", async () => {
  const cluster = new Cluster(1);
  cluster.put(2);
  const { reader } = await startRecords(cluster, "A", { config: { processTimeout: 2_000 } });
  await cluster.clock.advance(60_000);
  const loop = reader[Symbol.asyncIterator]();
  const { record, context, ack } = await take(cluster, loop);
  assertEquals([record.text(), context.attempt], ["0", 1]);
  const { signal } = context;
  await cluster.clock.advance(1_999);
  assert(!signal.aborted);
  await cluster.clock.advance(1);
  assertEquals(signal.reason.name, "ProcessTimeoutError");
  ack();
  const again = await take(cluster, loop);
  assertEquals([again.record.text(), again.context.attempt], ["0", 2]);
  assertEquals((await take(cluster, loop)).record.text(), "1");
  await leave(cluster, loop);
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("reader: an app that cannot go on throws out of the loop", async () => {
  const cluster = new Cluster(1);
  const { reader } = await startRecords(cluster, "A");
  const loop = (async () => {
    for await (const _ of reader) { /* nothing comes */ }
  })();
  loop.catch(() => {});
  const { reader: newer } = await startRecords(cluster, "A");
  await assertRejects(() => cluster.clock.until(loop), Error, "worker");
  await cluster.clock.until(newer.stop());
});

Deno.test("reader: options that are not acceptable are refused by name", async () => {
  const names = { appName: "Test", streamName: "orders" };
  await assertRejects(
    () => readRecords({ ...names, ack: "maybe" as "auto" }),
    RangeError,
    'Cannot use ack "maybe"',
  );
  await assertRejects(
    () => readRecords({ ...names, config: { processTimeout: -1 } }),
    RangeError,
    "processTimeout",
  );
});

Deno.test("reader: it is read as a whole, or by shard", async () => {
  const cluster = new Cluster(1);
  const { reader } = await startRecords(cluster, "A");
  const loop = reader[Symbol.asyncIterator]();
  assertThrows(() => reader.shards(), TypeError, "Cannot read both");
  await leave(cluster, loop);
  assert((await loop.next()).done);
});

Deno.test("reader: context.checkpoint() means the record that it came with", async () => {
  const cluster = new Cluster(1);
  cluster.put(5);
  const { reader } = await startRecords(cluster, "A", { config: { checkpointMode: "manual" } });
  const loop = reader[Symbol.asyncIterator]();
  await take(cluster, loop);
  const { context } = await take(cluster, loop);
  await cluster.clock.until(context.checkpoint());
  assertEquals(await checkpointOf(cluster), 2);
  await leave(cluster, loop);
});
