// Owns: the shards of a worker: a turn that ends by itself, since the stream or the processor does not go on.
import { assert, assertEquals } from "@std/assert";
import { retryAndStop } from "../../src/core/policy.ts";
import { type FailureKind, SourceError } from "../../src/errors.ts";
import type { Batch, StreamSource } from "../../src/ports.ts";
import { Processors } from "../../src/runtime/processors.ts";
import { tumblingWindows } from "../../src/windows/tumbling_windows.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { build, put, SHARD } from "./roster_testing.ts";
import { Bench } from "./runtime_testing.ts";

Deno.test("B12: a shard that cannot be read for long is left to others, and taken again after a while", async () => {
  const broken = { listShards: () => Promise.resolve([]), open: failing("unavailable") };
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
  const gone = { listShards: () => Promise.resolve([]), open: failing("missing") };
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

Deno.test("roster: what is open of a shard that has left the stream is closed, unless a child takes it up", async () => {
  for (const children of [[], ["child"]]) {
    const { bench, closed } = await windowed(children);
    await bench.clock.advance(90_000);
    assertEquals(bench.told("shard_ended").map(({ wasTrimmed }) => wasTrimmed), [true]);
    const { state } = await bench.store.shard(SHARD);
    const open = JSON.parse(state ?? "{}").open.map((window: { state?: number }) => window.state);
    assertEquals([closed, open], children.length === 0 ? [[1], [undefined]] : [[], [1]]);
  }
});

Deno.test("roster: a window of a shard that has left the stream and that cannot be closed is left to others", async () => {
  const { bench } = await windowed([], () => {
    throw new Error("down");
  });
  await bench.clock.advance(300_000);
  assertEquals(bench.told("shard_ended"), []);
  assertEquals(bench.told("shard_stopped")[0]?.reason, "processorFailed");
});

/** A worker that counts in windows of a day: one record, after which its shard leaves the stream. */
async function windowed(children: readonly string[], fail: () => void = () => {}) {
  const closed: number[] = [];
  const record = {
    ...{ sequenceNumber: "1", partitionKey: "key", data: new Uint8Array() },
    approximateArrivalTimestamp: Date.UTC(2026, 0, 1),
  };
  const source: StreamSource = {
    listShards: () =>
      Promise.resolve(
        children.map((id) => ({ id, parents: [SHARD], hashKeyRange: null, isClosed: false })),
      ),
    async *open(_, { kind }) {
      if (kind === "trimHorizon") yield { records: [record], millisBehindLatest: 0 };
      throw new SourceError("Cannot read: no such shard", { kind: "missing" });
    },
  };
  const windows = tumblingWindows({
    ...{ size: "1d", initial: () => 0, add: (count: number) => count + 1 },
    close({ state }) {
      fail();
      closed.push(state);
    },
  });
  const { clock, emit } = new Bench();
  const processors = new Processors(windows, { clock, emit, processTimeout: 0 });
  const { bench, roster, row } = await build(() => {}, { source, processors });
  await roster.take(row, bench.signal);
  return { bench, closed };
}

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

function failing(kind: FailureKind): () => never {
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
