// Owns: the shards of a worker: being asked, stopped and started in the middle of something else.
import { assert, assertEquals } from "@std/assert";
import { clearHandover } from "../../src/core/lease.ts";
import { settled } from "../virtual_clock.ts";
import { asked, build, put, SHARD } from "./roster_testing.ts";

Deno.test("B21: a shard that is asked for is given after the record in hand, with its checkpoint", async () => {
  const gate = Promise.withResolvers<void>();
  const started = await build(() => gate.promise);
  const { bench, stream, roster, row, seen, log } = started;
  put(stream, "1", "2", "3");
  await roster.take(row, bench.signal);
  await settled();
  await asked(started);
  await settled();
  assertEquals((await bench.store.shard(SHARD)).owner, "A");
  gate.resolve();
  await settled();
  const { owner, holder, term, checkpoint } = await bench.store.shard(SHARD);
  assertEquals([owner, holder, term], ["B", null, 2]);
  assertEquals(checkpoint, { kind: "sequence", sequenceNumber: "1" });
  assertEquals([seen, log, roster.isHere(SHARD)], [["1"], ["given to B"], false]);
  assertEquals(bench.told("shard_handed_over").map(({ to }) => to), ["B"]);
});

Deno.test("B16: an answer to a request of an earlier turn, or to none, gives nothing away", async () => {
  const started = await build();
  const { bench, roster, row } = started;
  await roster.take(row, bench.signal);
  await settled();
  const held = await bench.store.shard(SHARD);
  roster.handOver({ ...held, term: 7, handover: { to: "B", id: "1" } });
  roster.handOver(held);
  roster.handOver({ ...held, id: "elsewhere", handover: { to: "B", id: "1" } });
  await bench.clock.advance(10_000);
  assertEquals((await bench.store.shard(SHARD)).owner, "A");
  roster.loseAll("test over");
});

Deno.test("B20: a request that is taken back in mid-answer leaves the shard here, and it goes on", async () => {
  const gate = Promise.withResolvers<void>();
  const started = await build((text) => text === "1" ? gate.promise : undefined);
  const { bench, stream, roster, row, seen } = started;
  put(stream, "1", "2");
  await roster.take(row, bench.signal);
  await settled();
  const request = await asked(started);
  await bench.store.table.write(clearHandover(request), bench.signal);
  gate.resolve();
  await bench.clock.advance(1_000);
  put(stream, "3");
  await bench.clock.advance(1_000);
  assertEquals(seen, ["1", "2", "3"]);
  const { owner, term } = await bench.store.shard(SHARD);
  assertEquals([owner, term], ["A", 1]);
  roster.loseAll("test over");
});

Deno.test("roster: after a request that was taken back, checkpoints keep to checkpointFrequency again", async () => {
  const gate = Promise.withResolvers<void>();
  const started = await build(
    (text) => text === "1" ? gate.promise : undefined,
    { checkpointFrequency: 1_000 },
  );
  const { bench, bench: { clock, store }, stream, roster, row, seen } = started;
  put(stream, "1");
  await roster.take(row, bench.signal);
  await settled();
  const request = await asked(started);
  await store.table.write(clearHandover(request), bench.signal);
  gate.resolve();
  await clock.advance(1_000);
  const before = bench.told("checkpoint_written").length;
  for (let n = 2; n < 42; n++) {
    put(stream, String(n));
    await clock.advance(100);
  }
  assertEquals(seen.length, 41);
  const writes = bench.told("checkpoint_written").length - before;
  assert(writes >= 3 && writes <= 6, `${writes} checkpoints in 4 s`);
  roster.loseAll("test over");
});

Deno.test("roster: a stop that comes while a request is being answered counts, also when it is taken back", async () => {
  const started = await build();
  const { bench, bench: { clock, store }, stream, roster, row, seen } = started;
  await roster.take(row, bench.signal);
  await settled();
  // The answer to the request is on its way to the table when the request is taken back, and the stop comes.
  const gate = store.holdNext();
  const request = await asked(started);
  await settled();
  await store.table.write(clearHandover(request), bench.signal);
  const stopped = roster.stop(row);
  gate.resolve("made");
  await clock.until(stopped, 10_000);
  put(stream, "1");
  await clock.advance(10_000);
  assertEquals(seen, []);
  const { owner, stoppedBy } = await store.shard(SHARD);
  assertEquals([owner, stoppedBy], [null, ["A"]]);
});

Deno.test("roster: a stop that comes while the shard is being taken counts", async () => {
  const { bench, bench: { clock, store }, stream, roster, row, seen } = await build();
  put(stream, "1");
  const gate = store.holdNext();
  const taking = roster.take(row, bench.signal);
  await settled();
  let isStopped = false;
  const stopped = roster.stop(row).then(() => isStopped = true);
  await settled();
  assertEquals(isStopped, false, "whether there is anything to stop is not known yet");
  gate.resolve("made");
  await taking;
  await clock.until(stopped, 10_000);
  await clock.advance(10_000);
  assertEquals(seen, []);
  const { owner, stoppedBy } = await store.shard(SHARD);
  assertEquals([owner, stoppedBy], [null, ["A"]]);
});

Deno.test("roster: nothing is taken after the end has begun, also what was on its way", async () => {
  const { bench, bench: { clock, store }, stream, roster, row, seen } = await build();
  put(stream, "1");
  const gate = store.holdNext();
  const taking = roster.take(row, bench.signal);
  await settled();
  let isDrained = false;
  const drained = roster.drain().then(() => isDrained = true);
  await settled();
  assertEquals(isDrained, false, "whether there is anything to give up is not known yet");
  gate.resolve("made");
  await taking;
  await clock.until(drained, 10_000);
  await clock.advance(10_000);
  assertEquals(seen, []);
  assertEquals((await store.shard(SHARD)).owner, null);
  await roster.take(await store.shard(SHARD), bench.signal);
  assertEquals(roster.isHere(SHARD), false);
});

Deno.test("roster: a shard that is started again while it stops is free for anybody, and a look is asked for", async () => {
  const gate = Promise.withResolvers<void>();
  const { bench, stream, roster, row, log } = await build(() => gate.promise);
  put(stream, "1", "2");
  await roster.take(row, bench.signal);
  await settled();
  const stopped = roster.stop(row);
  roster.start(SHARD);
  gate.resolve();
  await stopped;
  const { owner, stoppedBy } = await bench.store.shard(SHARD);
  assertEquals([owner, stoppedBy], [null, []]);
  assertEquals(log, ["free"], "or nobody takes it before the next look is due");
});

Deno.test("roster: a shard is taken once, and never behind the fence", async () => {
  const { bench, roster, row } = await build();
  bench.fence.lower();
  await roster.take(row, bench.signal);
  assertEquals(bench.store.sent, []);
  bench.fence.raise({ at: bench.clock.monotonic(), wallAt: bench.clock.now() }, 1_000_000);
  await Promise.all([roster.take(row, bench.signal), roster.take(row, bench.signal)]);
  assertEquals(bench.store.sent.length, 1);
  assertEquals([roster.size, roster.isHere(SHARD)], [1, true]);
  assertEquals(roster.shards(), [{
    shardId: SHARD,
    term: 1,
    checkpoint: "TRIM_HORIZON",
    inHandMs: 0,
  }]);
  roster.loseAll("test over");
  assertEquals([roster.size, roster.shards()], [0, []]);
});

Deno.test("roster: a shard that another has by now, as its row says, is lost", async () => {
  const { bench, roster, row } = await build();
  await roster.take(row, bench.signal);
  roster.reconcile([row]);
  assertEquals(roster.size, 1, "an older row says nothing");
  roster.reconcile([{ ...row, term: 2 }]);
  assertEquals(roster.size, 0);
  await settled();
  assertEquals(roster.isHere(SHARD), false);
});
