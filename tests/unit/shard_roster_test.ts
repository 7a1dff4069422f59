// Owns: the shards of a worker: being asked, stopped and started in the middle of something else.
import { assert, assertEquals } from "@std/assert";
import { MemoryStream } from "../../src/adapters/memory.ts";
import { clearHandover, requestHandover, type ShardRow } from "../../src/core/lease.ts";
import { retryAndStop } from "../../src/core/policy.ts";
import { type FailureKind, SourceError } from "../../src/errors.ts";
import type { Batch, StreamSource } from "../../src/ports.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import { Processors } from "../../src/runtime/processors.ts";
import { type RosterDeps, ShardRoster } from "../../src/runtime/shard_roster.ts";
import { Breather } from "../../src/runtime/tasks.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { Bench, type Fate } from "./runtime_testing.ts";

const SHARD = "shardId-000000000000";

interface Started {
  readonly bench: Bench;
  readonly stream: MemoryStream;
  readonly roster: ShardRoster;
  readonly row: ShardRow;
  /** The texts of the records that were started. */
  readonly seen: string[];
  /** What the roster told the worker. */
  readonly log: string[];
}

/** A worker with a stream of one shard, which it has not taken yet. */
async function build(
  process: (text: string) => void | Promise<void> = () => {},
  changes: Partial<RosterDeps> = {},
): Promise<Started> {
  const bench = new Bench();
  const { clock, random, emit } = bench;
  const stream = new MemoryStream({ shards: 1, clock });
  const row = await bench.addShard(SHARD);
  const seen: string[] = [];
  const log: string[] = [];
  const processors = new Processors({
    process(record) {
      seen.push(record.text());
      return process(record.text());
    },
  }, { clock, emit, processTimeout: 0 });
  const roster = new ShardRoster({
    ...bench.deps({ checkpointFrequency: 0 }),
    random,
    source: stream,
    processors,
    workerId: "A",
    streamName: "orders",
    appName: "Test",
    checkpointMode: "auto",
    processTimeout: 0,
    maxRecordAge: 0,
    bisectBatchOnError: false,
    batchSize: 10_000,
    batchWindow: 0,
    breather: new Breather(clock),
    concurrency: 1,
    orderBy: "partitionKey",
    maxBatchSize: 10_000,
    deaggregate: true,
    budget: new BufferBudget(2 ** 26),
    unreadableAfter: 60_000,
    goneAfter: 30_000,
    coolOff: 60_000,
    alive: () => new Set(["A", "B"]),
    heirOf: () => undefined,
    onGiven: (to) => log.push(`given to ${to}`),
    onFree: () => log.push("free"),
    onEnding: () => Promise.resolve(),
    onFatal: (error) => log.push(`fatal ${error}`),
    ...changes,
  });
  return { bench, stream, roster, row, seen, log };
}

function put(stream: MemoryStream, ...texts: readonly string[]): void {
  for (const text of texts) stream.put("key", text);
}

/** Another worker asks for the shard, and this one sees it. */
async function asked({ bench, roster }: Started): Promise<ShardRow> {
  const change = requestHandover(await bench.store.shard(SHARD), { to: "B", id: "1" });
  const { row } = await bench.store.table.write(change, bench.signal);
  assert(row !== null);
  roster.handOver(row);
  return row;
}

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
  const gate = Promise.withResolvers<Fate>();
  const started = await build();
  const { bench, bench: { clock, store }, stream, roster, row, seen } = started;
  await roster.take(row, bench.signal);
  await settled();
  // The answer to the request is on its way to the table when the request is taken back, and the stop comes.
  store.fate = () => {
    store.fate = () => "made";
    return gate.promise;
  };
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
  const gate = Promise.withResolvers<Fate>();
  const { bench, bench: { clock, store }, stream, roster, row, seen } = await build();
  put(stream, "1");
  store.fate = () => {
    store.fate = () => "made";
    return gate.promise;
  };
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
  const gate = Promise.withResolvers<Fate>();
  const { bench, bench: { clock, store }, stream, roster, row, seen } = await build();
  put(stream, "1");
  store.fate = () => {
    store.fate = () => "made";
    return gate.promise;
  };
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

Deno.test("B12: a shard that cannot be read for long is left to others, and taken again after a while", async () => {
  const broken: StreamSource = {
    listShards: () => Promise.resolve([]),
    open: () => {
      throw new SourceError("Cannot read: no answer", { kind: "unavailable" });
    },
  };
  const { bench, bench: { clock }, roster, row } = await build(() => {}, { source: broken });
  await roster.take(row, bench.signal);
  await clock.advance(59_000);
  assertEquals(roster.isHere(SHARD), true);
  await clock.advance(40_000);
  assertEquals(bench.told("shard_stopped").map(({ reason }) => reason), ["unreadable"]);
  assertEquals([roster.isHere(SHARD), roster.isStopped(SHARD)], [false, true]);
  const times = bench.told("read_failed").length;
  assert(times > 5 && times < 20, `${times} attempts in a minute`);
  await clock.advance(60_000);
  assertEquals(roster.isStopped(SHARD), false);
});

Deno.test("roster: a shard that has left the stream is finished", async () => {
  const gone: StreamSource = {
    listShards: () => Promise.resolve([]),
    open: () => {
      throw new SourceError("Cannot read: no such shard", { kind: "missing" });
    },
  };
  const { bench, bench: { clock }, roster, row } = await build(() => {}, { source: gone });
  await roster.take(row, bench.signal);
  await clock.advance(1_000);
  assertEquals(
    (await bench.store.shard(SHARD)).checkpoint.kind,
    "trimHorizon",
    "one look is not enough",
  );
  await clock.advance(70_000);
  assertEquals((await bench.store.shard(SHARD)).checkpoint, { kind: "shardEnd" });
  assertEquals(bench.told("shard_ended").map(({ wasTrimmed }) => wasTrimmed), [true]);
});

Deno.test("B7: a reader that fails again and again goes on after the last finished record", async () => {
  const started = await build(() => {}, {});
  const { bench: { clock }, stream } = started;
  const positions: string[] = [];
  let failures = 0;
  const flaky: StreamSource = {
    listShards: (signal) => stream.listShards(signal),
    open: async function* (shardId, after, signal) {
      positions.push(after.kind === "sequence" ? after.sequenceNumber : after.kind);
      for await (const batch of stream.open(shardId, after, signal)) {
        yield { ...batch, records: batch.records.slice(0, 1) };
        failures += 1;
        throw new SourceError("Cannot read: iterator expired", { kind: "unavailable" });
      }
    },
  };
  const { bench, roster, row, seen } = await build(() => {}, { source: flaky });
  put(stream, "1", "2", "3");
  await roster.take(row, bench.signal);
  await bench.clock.advance(10_000);
  assertEquals(seen, ["1", "2", "3"]);
  assertEquals(positions.slice(0, 4), ["trimHorizon", "1", "2", "3"]);
  assert(failures < 30, "the waits grow while nothing comes");
  roster.loseAll("test over");
  assertEquals(clock.sleeping, 0);
});

Deno.test("roster: a defect in the middle of a turn ends the worker, not only the shard", async () => {
  const { bench, roster, row, log } = await build(() => {}, {
    source: thenAfterTwo(() => NO_BATCH),
  });
  await roster.take(row, bench.signal);
  await settled();
  assertEquals(log.map((line) => line.slice(0, 15)), ["fatal TypeError"]);
  assertEquals(roster.isHere(SHARD), false);
});

/** What no source gives. */
const NO_BATCH = {} as unknown as Batch;

/** A stream that gives two records of one key, and what the test says from then on. */
function thenAfterTwo(makeNext: () => Batch): StreamSource {
  const records = ["1", "2"].map((text) => ({
    sequenceNumber: text,
    partitionKey: "key",
    data: new TextEncoder().encode(text),
    approximateArrivalTimestamp: 0,
  }));
  const batches: Batch[] = [{ records, millisBehindLatest: 0 }];
  return {
    listShards: () => Promise.resolve([]),
    open: async function* () {
      yield* batches.splice(0);
      yield await Promise.resolve(makeNext());
    },
  };
}

function failing(kind: FailureKind): () => Batch {
  return () => {
    throw new SourceError("Cannot read: a test", { kind });
  };
}

const ENDS: Readonly<Record<string, { readonly next: () => Batch; readonly told: string }>> = {
  "cannot be read": { next: failing("unavailable"), told: "stopped unreadable" },
  "left the stream": { next: failing("missing"), told: "ended" },
  "meets a defect": { next: () => NO_BATCH, told: "fatal" },
};

for (const [what, { next, told }] of Object.entries(ENDS)) {
  Deno.test(`roster: a shard that ${what} while other lanes are at work waits for the records in hand`, async () => {
    const gate = Promise.withResolvers<void>();
    const { bench, roster, row, log, seen } = await build(() => gate.promise, {
      source: thenAfterTwo(next),
      concurrency: 16,
    });
    const ends = (): readonly string[] => [
      ...bench.told("shard_stopped").map(({ reason }) => `stopped ${reason}`),
      ...bench.told("shard_ended").map(() => "ended"),
      ...log.filter((line) => line.startsWith("fatal")).map(() => "fatal"),
    ];
    await roster.take(row, bench.signal);
    await bench.clock.advance(200_000);
    assertEquals([roster.isHere(SHARD), ends()], [true, []]);
    gate.resolve();
    await bench.clock.advance(100);
    assertEquals([roster.isHere(SHARD), ends()], [false, [told]]);
    const { kind } = (await bench.store.shard(SHARD)).checkpoint;
    if (told !== "fatal") assertEquals(kind, told === "ended" ? "shardEnd" : "sequence");
    assertEquals(seen, told === "ended" ? ["1", "2"] : ["1"], "what comes after the end is lost");
  });
}

Deno.test("roster: a record that stops the shard counts more than that it cannot be read", async () => {
  const gate = Promise.withResolvers<void>();
  const processors = new Processors({
    process: () => gate.promise,
    getErrorHandlingMode: () => retryAndStop(0),
  }, { clock: new VirtualClock(), emit: () => {}, processTimeout: 0 });
  const { bench, roster, row } = await build(() => {}, {
    source: thenAfterTwo(failing("unavailable")),
    concurrency: 16,
    processors,
  });
  await roster.take(row, bench.signal);
  await bench.clock.advance(200_000);
  gate.reject(new Error("broken"));
  await bench.clock.advance(100);
  assertEquals(bench.told("shard_stopped").map(({ reason }) => reason), ["recordFailed"]);
});
