// Owns: the heartbeat and the fence: a worker stops delivering before anybody else may take its shards.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { StoreError, WorkerReplacedError } from "../../src/errors.ts";
import { Fence, Heartbeat, type HeartbeatDeps } from "../../src/runtime/heartbeat.ts";
import type { WorkerRow } from "../../src/core/lease.ts";
import { settled } from "../virtual_clock.ts";
import { workerRow } from "./arbitraries.ts";
import { Bench, claimantOf, type Fate } from "./runtime_testing.ts";

const HEARTBEAT = 1_000;
const TIMEOUT = 5_000;

interface Started {
  readonly bench: Bench;
  readonly fence: Fence;
  readonly heart: Heartbeat;
  readonly stop: AbortController;
  /** What the heartbeat and the fence told the worker, and when. */
  readonly log: string[];
  row(): Promise<WorkerRow | null>;
}

function build(changes: Partial<HeartbeatDeps> = {}): Started {
  const bench = new Bench();
  const fence = new Fence(bench.clock);
  const log: string[] = [];
  const { clock, random, store, emit } = bench;
  const heart = new Heartbeat({
    clock,
    random,
    store,
    emit,
    fence,
    claimant: claimantOf("A"),
    version: "test",
    heartbeat: HEARTBEAT,
    heartbeatTimeout: TIMEOUT,
    countShards: () => 3,
    onAttention: () => log.push(`attention at ${clock.monotonic()}`),
    onFenced: () => log.push(`fenced at ${clock.monotonic()}`),
    ...changes,
  });
  const row = () => store.table.read("worker", "A", bench.signal);
  return { bench, fence, heart, stop: new AbortController(), log, row };
}

/** Registers, and beats until `stop`. */
async function run({ heart, stop: { signal } }: Started): Promise<void> {
  await heart.register(signal);
  const loops = [heart.run(signal), heart.watchFence(signal)];
  for (const loop of loops) loop.catch(() => {}); // They end by the abort.
  await settled();
}

Deno.test("heartbeat: a registered worker shows a new beat every heartbeat", async () => {
  const started = build();
  const { bench: { clock, store }, stop, log, fence } = started;
  await run(started);
  assertEquals((await started.row())?.shards, 3);
  await clock.advance(10 * HEARTBEAT);
  assertEquals((await started.row())?.beat, 11, "the first one registers");
  assertEquals((await started.row())?.beatAt, clock.now());
  assertEquals(store.sent.length, 11);
  assertEquals(log, []);
  assert(fence.isUp);
  stop.abort();
  await settled();
  assertEquals(clock.sleeping, 0);
});

Deno.test("B11: the fence goes down before the time-out, counted from before the last acknowledged write", async () => {
  const started = build();
  const { bench: { clock, store }, stop, log, fence } = started;
  await run(started);
  await clock.advance(2 * HEARTBEAT);
  // The beat of second 3 is applied, but takes most of a second, and all later ones are lost.
  store.fate = async (): Promise<Fate> => {
    store.fate = () => "request lost";
    await clock.sleep(900, stop.signal);
    return "made";
  };
  await clock.advance(HEARTBEAT + 900);
  const writtenAt = 3 * HEARTBEAT;
  assertEquals(clock.monotonic() + fence.leftMs, writtenAt + TIMEOUT * 0.9);
  await clock.advance(writtenAt + TIMEOUT - clock.monotonic() - 1);
  assertEquals(log, [`fenced at ${writtenAt + TIMEOUT * 0.9}`]);
  assertEquals(fence.isUp, false);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: a write without an answer raises no fence, and is tried again soon", async () => {
  const started = build();
  const { bench, bench: { clock, store }, stop, fence } = started;
  await run(started);
  store.willBe("worker", "reply lost", "request lost");
  const before = clock.monotonic() + fence.leftMs;
  await clock.advance(HEARTBEAT);
  assertEquals(clock.monotonic() + fence.leftMs, before);
  assertEquals(bench.told("heartbeat_failed").length, 1);
  await clock.advance(HEARTBEAT);
  assert(
    (clock.monotonic() + fence.leftMs) > before + HEARTBEAT,
    "the third try came within a heartbeat",
  );
  stop.abort();
  await settled();
});

Deno.test("heartbeat: a beat that arrives once more, late, does not bring back one that others saw", async () => {
  const started = build();
  const { bench: { clock, store }, stop } = started;
  await run(started);
  await clock.advance(HEARTBEAT);
  const copy = store.sent.at(-1);
  assert(copy !== undefined);
  await clock.advance(2 * HEARTBEAT);
  await store.table.write(copy, stop.signal);
  assertEquals((await started.row())?.beat, 4);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: after a lost reply the next beat is written all the same", async () => {
  const started = build();
  const { bench: { clock, store }, stop, log } = started;
  await run(started);
  store.willBe("worker", "reply lost");
  await clock.advance(2 * HEARTBEAT);
  assertEquals((await started.row())?.beat, 3);
  assertEquals(log, []);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: an answer that never comes does not stop the next beat", async () => {
  const started = build();
  const { bench, bench: { clock, store }, stop, fence } = started;
  await run(started);
  store.holdNext();
  await clock.advance(3 * HEARTBEAT);
  assertEquals(bench.told("heartbeat_failed").length, 1);
  assert((clock.monotonic() + fence.leftMs) > 2 * HEARTBEAT + TIMEOUT * 0.9);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: a second process with the same worker id replaces the first", async () => {
  const older = build();
  const { signal } = older.bench;
  await older.heart.register(signal);
  const over = assertRejects(() => older.heart.run(signal), WorkerReplacedError, '"A"');
  const newer = build({
    store: older.bench.store,
    clock: older.bench.clock,
    claimant: { workerId: "A", incarnation: "A-2" },
  });
  await newer.heart.register(signal);
  await older.bench.clock.advance(HEARTBEAT);
  await over;
  assertEquals((await older.row())?.incarnation, "A-2");
  assertEquals(older.bench.clock.sleeping, 0);
});

Deno.test("heartbeat: the row that others deleted is written again, the shards are lost first", async () => {
  const started = build();
  const { bench: { clock, store, signal }, stop, log, fence } = started;
  await run(started);
  await clock.advance(HEARTBEAT);
  await store.table.write({
    kind: "worker",
    id: "A",
    expect: { incarnation: "A-1" },
    set: "delete",
  }, signal);
  await clock.advance(HEARTBEAT);
  assertEquals(log, [`fenced at ${2 * HEARTBEAT}`, `attention at ${2 * HEARTBEAT}`]);
  assertEquals((await started.row())?.incarnation, "A-1");
  assert(fence.isUp);
  await clock.advance(HEARTBEAT);
  assertEquals(log.length, 2);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: a nudge of another worker is noticed once, with the next beat", async () => {
  const started = build();
  const { bench: { clock, store, signal }, stop, log } = started;
  await run(started);
  await clock.advance(500);
  await store.table.write({
    kind: "worker",
    id: "A",
    expect: { incarnation: "A-1" },
    set: { attention: "look" },
  }, signal);
  await clock.advance(3 * HEARTBEAT);
  assertEquals(log, [`attention at ${HEARTBEAT}`]);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: after the fence was down the worker looks at its rows again", async () => {
  const started = build();
  const { bench: { clock, store }, stop, log } = started;
  await run(started);
  store.fate = () => "request lost";
  await clock.advance(TIMEOUT);
  store.fate = () => "made";
  await clock.advance(2 * HEARTBEAT);
  assertEquals(log.map((line) => line.split(" ")[0]), ["fenced", "attention"]);
  stop.abort();
  await settled();
});

Deno.test("heartbeat: draining is told at once", async () => {
  const started = build();
  await run(started);
  started.heart.startDraining();
  await settled();
  assertEquals((await started.row())?.isDraining, true);
  started.stop.abort();
  await settled();
});

Deno.test("heartbeat: only the own row is removed at the end", async () => {
  const started = build();
  const { bench: { store, signal }, heart } = started;
  await heart.register(signal);
  await heart.deregister(signal);
  assertEquals(await started.row(), null);
  const newer = build({ store, claimant: { workerId: "A", incarnation: "A-2" } });
  await newer.heart.register(signal);
  await heart.deregister(signal);
  assertEquals((await started.row())?.incarnation, "A-2");
});

Deno.test("heartbeat: registering survives a lost reply, and gives up when the row never stays", async () => {
  const lossy = build();
  lossy.bench.store.willBe("worker", "reply lost", "request lost");
  await lossy.bench.clock.until(lossy.heart.register(lossy.bench.signal));
  assertEquals((await lossy.row())?.incarnation, "A-1");
  assert(lossy.fence.isUp);

  const contested = build();
  const { store, signal, clock } = contested.bench;
  let rivals = 0;
  store.fate = async (): Promise<Fate> => {
    rivals += 1;
    const before = await contested.row();
    const { kind, id, ...set } = workerRow("A", { incarnation: `rival-${rivals}` });
    const expect = before === null ? "no row" : { incarnation: before.incarnation };
    await store.table.write<WorkerRow>({ kind, id, expect, set }, signal);
    return "made";
  };
  const refused = await assertRejects(
    () => clock.until(contested.heart.register(signal)),
    StoreError,
    "give each process its own worker id",
  );
  assertEquals([refused.kind, rivals], ["invalid", 10]);
});

Deno.test("heartbeat: whoever removes the row of a registration whose reply was lost does not remove the next one", async () => {
  const { bench: { clock, store, signal }, heart, row, fence } = build();
  store.fate = async (): Promise<Fate> => {
    store.fate = () => "made";
    return await Promise.resolve("reply lost");
  };
  const registered = heart.register(signal);
  await settled();
  const seen = await row();
  assert(seen !== null, "it was written");
  const { incarnation, beat } = seen;
  const removal = {
    kind: "worker",
    id: "A",
    expect: { incarnation, beat },
    set: "delete",
  } as const;
  assertEquals((await store.table.write<WorkerRow>(removal, signal)).kind, "written");
  await clock.until(registered);
  assertEquals((await store.table.write<WorkerRow>(removal, signal)).kind, "conflict");
  assertEquals([(await row())?.incarnation, fence.isUp], [incarnation, true]);
});

Deno.test("heartbeat: a registration that was applied without an answer is made again, with another beat", async () => {
  const { bench: { clock, store, signal }, heart, row, fence } = build();
  store.willBe("worker", "reply lost");
  const sent: number[] = [];
  const write = store.write.bind(store);
  store.write = (change, signal) => {
    sent.push(clock.monotonic());
    return write(change, signal);
  };
  await clock.until(heart.register(signal));
  assertEquals([(await row())?.beat, sent.length], [3, 3]);
  assert(
    fence.leftMs > 0 && fence.leftMs <= TIMEOUT * 0.9 - (clock.monotonic() - (sent.at(-1) ?? 0)),
  );
});

Deno.test("heartbeat: a registration that fails half-way leaves the row, in whose name another process may hold shards", async () => {
  const { bench, bench: { clock, store, signal }, heart, row } = build();
  const { kind, id, ...set } = workerRow("A", { incarnation: "predecessor" });
  await store.table.write<WorkerRow>({ kind, id, expect: "no row", set }, signal);
  let reads = 0;
  store.read = (kind, id, signal) => {
    reads += 1;
    const error = new StoreError("Cannot read: no answer", { kind: "unavailable" });
    return reads > 1 ? Promise.reject(error) : store.table.read(kind, id, signal);
  };
  store.willBe("worker", "reply lost");
  await assertRejects(() => clock.until(heart.register(signal)), StoreError, "Cannot read");
  await heart.deregister(bench.signal);
  assertEquals((await row())?.incarnation, "A-1");
});

Deno.test("heartbeat: a table that is gone ends the worker", async () => {
  const started = build();
  const { bench: { clock, store, signal }, heart } = started;
  await heart.register(signal);
  store.fate = () => {
    throw new StoreError("no table", { kind: "missing" });
  };
  const over = assertRejects(() => heart.run(signal), StoreError, "no table");
  await clock.advance(HEARTBEAT);
  await over;
});
