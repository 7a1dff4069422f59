// Owns: one turn on a shard: what a lost or late reply may and may not do.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Checkpoint, SHARD_END } from "../../src/core/checkpoint.ts";
import { claim, clearHandover, requestHandover, type ShardRow } from "../../src/core/lease.ts";
import { LeaseLostError } from "../../src/errors.ts";
import type { StatefulProcessor } from "../../src/processor.ts";
import { Lease, type LeaseDeps } from "../../src/runtime/lease_keeper.ts";
import { takeShard } from "../../src/runtime/take_shard.ts";
import { settled } from "../virtual_clock.ts";
import { Bench, claimantOf, type Fate } from "./runtime_testing.ts";

function at(sequence: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(sequence) };
}

/** A worker that holds shard `s`, term 1. */
async function holding(changes: Partial<LeaseDeps> = {}): Promise<{ bench: Bench; lease: Lease }> {
  const bench = new Bench();
  const row = await bench.addShard();
  const lease = await bench.clock.until(takeShard(row, bench.deps(changes), bench.signal));
  assert(lease instanceof Lease);
  bench.store.sent.length = 0;
  return { bench, lease };
}

/** What another worker does to the shard, whatever the owner believes. */
async function takenByAnother(bench: Bench): Promise<ShardRow> {
  const change = claim(await bench.store.shard("s"), claimantOf("B"));
  const { row } = await bench.store.table.write(change, bench.signal);
  assert(row !== null);
  return row;
}

Deno.test("lease keeper: checkpoints are written at most once per checkpointFrequency", async () => {
  const { bench, bench: { clock, store }, lease } = await holding();
  for (let n = 1; n <= 50; n++) {
    lease.finished(at(n), 0);
    await clock.advance(100);
  }
  assertEquals(store.sent.length, 6, "one at once, and one in each of 5 seconds");
  assertEquals((await store.shard("s")).checkpoint, at(50));
  await clock.advance(60_000);
  assertEquals(store.sent.length, 6, "without news nothing is written");
  assertEquals(bench.told("checkpoint_written").map(({ checkpoint }) => checkpoint).at(-1), "50");
  lease.lose("test over");
  await bench.tasks.settled();
  assertEquals([clock.sleeping, bench.failures], [0, []]);
});

Deno.test("lease keeper: with a checkpointFrequency of 0 every checkpoint that is due is written", async () => {
  const { bench: { store }, lease } = await holding({ checkpointFrequency: 0 });
  for (let n = 1; n <= 5; n++) {
    lease.finished(at(n), 0);
    await settled();
  }
  assertEquals(store.sent.length, 5);
  lease.lose("test over");
});

Deno.test("lease keeper: lost replies of a claim, made or not, end in one turn", async () => {
  for (const fate of ["reply lost", "request lost", "throttled"] as const) {
    const bench = new Bench();
    const row = await bench.addShard();
    bench.store.willBe("shard", fate, fate);
    const lease = await bench.clock.until(takeShard(row, bench.deps(), bench.signal));
    assert(lease instanceof Lease);
    assertEquals([lease.term, bench.told("shard_claimed").length], [1, 1], fate);
    assertEquals((await bench.store.shard("s")).holder, "A-1");
    lease.lose("test over");
  }
});

Deno.test("B3: who loses the race for a shard has no turn, and nothing of it stays behind", async () => {
  const bench = new Bench();
  const row = await bench.addShard();
  await takenByAnother(bench);
  assertEquals(await takeShard(row, bench.deps(), bench.signal), null);
  await bench.tasks.settled();
  assertEquals([bench.clock.sleeping, bench.facts], [0, []]);
});

Deno.test("B15: a claim whose reply was lost, and which another has undone since, is no turn", async () => {
  const bench = new Bench();
  const row = await bench.addShard();
  bench.store.fate = async (): Promise<Fate> => {
    bench.store.fate = async (): Promise<Fate> => {
      bench.store.fate = () => "made";
      await takenByAnother(bench);
      return "made";
    };
    await settled();
    return "reply lost";
  };
  assertEquals(await bench.clock.until(takeShard(row, bench.deps(), bench.signal)), null);
  assertEquals((await bench.store.shard("s")).holder, "B-1");
});

Deno.test("B15: a turn begins at the checkpoint that the claim returned, not at the one that was seen", async () => {
  const bench = new Bench();
  const seen = await bench.addShard();
  await bench.store.table.write({
    kind: "shard",
    id: "s",
    expect: { term: 0 },
    set: { checkpoint: at(9) },
  }, bench.signal);
  const lease = await takeShard(seen, bench.deps(), bench.signal);
  assert(lease instanceof Lease);
  assertEquals(lease.position, at(9));
  lease.lose("test over");
});

Deno.test("lease keeper: lost replies of a checkpoint, made or not, lose nothing", async () => {
  for (const fate of ["reply lost", "request lost", "throttled"] as const) {
    const { bench, bench: { clock, store }, lease } = await holding();
    store.willBe("shard", fate, fate, fate);
    lease.finished(at(5), 0);
    await clock.advance(200);
    lease.finished(at(6), 0); // The write that is tried again carries the newer one.
    await clock.advance(30_000);
    assertEquals((await store.shard("s")).checkpoint, at(6), fate);
    assertEquals([lease.isHeld, bench.told("lease_lost").length], [true, 0], fate);
    lease.lose("test over");
  }
});

Deno.test("lease keeper: lost replies of giving up, made or not, give up once", async () => {
  for (const fate of ["reply lost", "request lost", "throttled"] as const) {
    for (const to of ["B", null]) {
      const { bench, bench: { clock, store }, lease } = await holding();
      lease.finished(at(5), 0);
      await settled();
      store.willBe("shard", fate, fate);
      lease.finished(at(7), 0);
      const parting = to === null ? lease.release({ stoppedBy: "A" }) : lease.give(to);
      assertEquals(await clock.until(parting), "done", fate);
      const row = await store.shard("s");
      assertEquals([row.owner, row.holder, row.term, row.checkpoint], [to, null, 2, at(7)]);
      assertEquals(bench.told("lease_lost").length, 0);
      assertEquals([lease.isHeld, await lease.release()], [false, "lost"]);
      await bench.tasks.settled();
      assertEquals(clock.sleeping, 0);
    }
  }
});

Deno.test("lease keeper: the end of a shard survives lost replies", async () => {
  for (const fate of ["reply lost", "request lost"] as const) {
    const { bench, bench: { clock, store }, lease } = await holding();
    store.willBe("shard", fate, fate);
    assertEquals(await clock.until(lease.end(["child"], false)), "done");
    assertEquals((await store.shard("s")).checkpoint, SHARD_END);
    assertEquals(bench.told("shard_ended").map(({ children }) => children), [["child"]]);
  }
});

Deno.test("B14: a shard that another took is lost at the next write, and nothing of the other's is touched", async () => {
  const { bench, bench: { clock, store }, lease } = await holding();
  const taken = await takenByAnother(bench);
  lease.finished(at(5), 0);
  await clock.advance(10_000);
  assertEquals(await store.shard("s"), taken);
  assertEquals([lease.isHeld, lease.signal.aborted], [false, true]);
  assert(lease.signal.reason instanceof LeaseLostError);
  assertEquals(bench.told("lease_lost").map(({ term }) => term), [1]);
  assertEquals(await lease.give("C"), "lost");
  assertEquals(await store.shard("s"), taken);
});

Deno.test("B14: after an ABA of owners the older turn writes nothing", async () => {
  const { bench, bench: { clock, store }, lease } = await holding();
  await takenByAnother(bench);
  const change = claim(await store.shard("s"), claimantOf("A"));
  const { row: again } = await store.table.write(change, bench.signal);
  lease.finished(at(5), 0);
  await clock.advance(10_000);
  assertEquals(await store.shard("s"), again);
  assertEquals(lease.isHeld, false);
});

Deno.test("lease keeper: a delayed older checkpoint cannot come back", async () => {
  const { bench: { clock, store }, lease } = await holding();
  const arrival = Promise.withResolvers<Fate>();
  // The first request is under way for long; the client gives up on it and sends the next.
  store.fate = (change) => {
    store.fate = () => "made";
    void arrival.promise.then(() => store.table.write(change, new AbortController().signal));
    return "request lost";
  };
  lease.finished(at(5), 0);
  await settled();
  lease.finished(at(8), 0);
  await clock.advance(5_000);
  assertEquals((await store.shard("s")).checkpoint, at(8));
  arrival.resolve("made");
  await settled();
  assertEquals((await store.shard("s")).checkpoint, at(8));
  lease.finished(at(9), 0);
  await clock.advance(5_000);
  assertEquals([(await store.shard("s")).checkpoint, lease.isHeld], [at(9), true]);
  lease.lose("test over");
});

Deno.test("lease keeper: waiting for a checkpoint ends when it is written, or when the shard is lost", async () => {
  const { bench, bench: { clock }, lease } = await holding();
  await lease.checkpointed();
  lease.finished(at(1), 0);
  await clock.until(lease.checkpointed(), 0);
  lease.finished(at(2), 0);
  const second = lease.checkpointed();
  await assertRejects(() => clock.until(second, 999), Error, "did not settle within");
  await clock.until(second, 1);
  await takenByAnother(bench);
  lease.finished(at(3), 0);
  const third = assertRejects(() => lease.checkpointed(), LeaseLostError, '"s"');
  await clock.advance(2_000);
  await third;
  await assertRejects(() => lease.checkpointed(), LeaseLostError);
});

const PARTINGS: Readonly<Record<string, (lease: Lease) => Promise<unknown>>> = {
  "is given up with it": (lease) => lease.release(),
  "ends, which is beyond it": (lease) => lease.end([], false),
};

for (const [how, part] of Object.entries(PARTINGS)) {
  Deno.test(`lease keeper: who waits for a checkpoint is told when the shard ${how}`, async () => {
    const { lease } = await holding();
    lease.finished(at(1), 0);
    await settled();
    lease.finished(at(2), 0);
    const waiting = lease.checkpointed();
    assertEquals(await part(lease), "done");
    await waiting;
  });
}

Deno.test("lease keeper: a request that came in between does not hinder a checkpoint, and is noticed", async () => {
  let requests = 0;
  const { bench, bench: { clock, store }, lease } = await holding({
    onRowNews: () => requests += 1,
  });
  const asked = requestHandover(await store.shard("s"), { to: "B", id: "1" });
  await store.table.write(asked, bench.signal);
  lease.finished(at(1), 0);
  await clock.advance(10);
  const row = await store.shard("s");
  assertEquals([row.checkpoint, row.handover, requests], [at(1), { to: "B", id: "1" }, 1]);
  lease.lose("test over");
});

Deno.test("lease keeper: an answer to a request that was taken back gives nothing away", async () => {
  const { bench, bench: { store }, lease } = await holding();
  const answers = { to: "B", id: "1" };
  const { row } = await store.table.write(
    requestHandover(await store.shard("s"), answers),
    bench.signal,
  );
  assert(row !== null);
  lease.saw(row);
  await store.table.write(clearHandover(row), bench.signal);
  assertEquals(await lease.give("B", { answers }), "withdrawn");
  assertEquals([lease.isHeld, (await store.shard("s")).owner], [true, "A"]);
  assertEquals(await lease.release(), "done");
});

Deno.test("B11: behind the fence nothing is delivered and nothing is written", async () => {
  const { bench, bench: { clock, store, fence }, lease } = await holding();
  fence.lower();
  assertEquals(lease.isHeld, false);
  lease.finished(at(5), 0);
  await clock.advance(5_000);
  assertEquals(store.sent.length, 0);
  assertEquals(bench.told("lease_lost").length, 1);
  assertEquals(await lease.release(), "lost");
});

Deno.test("lease keeper: a state that cannot be written is not tried again and again, nor does the checkpoint move", async () => {
  const { bench, lease } = await holding();
  let snapshot = (): string => "sound";
  const processor: StatefulProcessor = {
    keepsState: true,
    begin() {},
    snapshot: () => snapshot(),
    finishedRead: () => false,
    process() {},
  };
  await lease.state.begin(processor, bench.signal);
  lease.hurry();
  lease.finished(at(5), 0);
  await bench.clock.until(lease.checkpointed());
  snapshot = () => {
    throw new Error("a Set");
  };
  const { length } = bench.store.sent;
  lease.finished(at(6), 0);
  await bench.clock.advance(60_000);
  assertEquals(bench.store.sent.length - length, 1);
  const { checkpoint, state } = await bench.store.shard("s");
  assertEquals([checkpoint, state], [at(5), "sound"]);
  snapshot = () => "sound again";
  lease.finished(at(7), 0);
  await bench.clock.until(lease.checkpointed());
  assertEquals((await bench.store.shard("s")).state, "sound again");
  lease.lose("test over");
});

Deno.test("lease keeper: a state that is due is written also if the shard was to be given away, and stays after all", async () => {
  const { bench, bench: { clock, store }, lease } = await holding();
  let state = "before";
  const processor: StatefulProcessor = {
    ...{ keepsState: true, begin() {}, finishedRead: () => false, process() {} },
    snapshot: () => state,
  };
  await lease.state.begin(processor, bench.signal);
  const gate = store.holdNext();
  lease.finished(at(5), 0);
  await settled();
  state = "after";
  const written = lease.stateWritten();
  // Nobody asks for it any more.
  const parting = lease.give("B", { answers: { to: "B", id: "1" } });
  gate.resolve("made");
  assertEquals(await parting, "withdrawn");
  await clock.until(written);
  assertEquals((await store.shard("s")).state, "after");
  lease.lose("test over");
});

Deno.test("lease keeper: the writes of a turn never overtake each other", async () => {
  const { bench: { clock, store }, lease } = await holding();
  const gate = store.holdNext();
  lease.finished(at(5), 0);
  await settled();
  lease.finished(at(6), 0);
  const parting = lease.give("B");
  await clock.advance(1_000);
  assertEquals(store.sent.length, 1);
  gate.resolve("made");
  assertEquals(await parting, "done");
  assertEquals((await store.shard("s")).checkpoint, at(6));
  assertEquals(store.sent.length, 2);
});

Deno.test("lease: a claim during which the fence was down does not count, even if it was written", async () => {
  const bench = new Bench();
  const row = await bench.addShard();
  const write = bench.store.write.bind(bench.store);
  bench.store.write = async (change, signal) => {
    const result = await write(change, signal);
    bench.fence.lower();
    bench.fence.raise({ at: bench.clock.monotonic(), wallAt: bench.clock.now() }, 10_000);
    return result;
  };
  assertEquals(await takeShard(row, bench.deps(), bench.signal), "too late");
  assertEquals((await bench.store.shard(row.id)).holder, bench.deps().claimant.incarnation);
  assertEquals(bench.told("shard_claimed"), []);
});

Deno.test("lease keeper: what is in hand is told that it is in vain before the write that cuts the turn short", async () => {
  const { bench: { clock, store }, lease } = await holding();
  lease.finished(at(1), 0);
  await settled();
  const gate = Promise.withResolvers<Fate>();
  store.fate = () => gate.promise;
  lease.abandon("the time to stop ran out");
  const parting = lease.give("B");
  await settled();
  assert(lease.signal.aborted && lease.isAbandoned && !lease.isHeld);
  lease.finished(at(2), 0);
  await assertRejects(() => lease.checkpointed(), LeaseLostError, "the time to stop ran out");
  gate.resolve("made");
  assertEquals(await clock.until(parting), "done");
  const { owner, checkpoint } = await store.shard("s");
  assertEquals([owner, checkpoint], ["B", at(1)]);
});
