// Tumbling windows as a user has them: in the test kit, and through whatever `simulate` draws.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  type ClosedWindow,
  ReactoKinesixApp,
  type RecordProcessorFactory,
  tumblingWindows,
  type TumblingWindowsOptions,
} from "../../mod.ts";
import { simulate, type TestKit, testKit } from "../../testing.ts";
import { hasBegun } from "../../src/core/shard_state.ts";

type Counts = Readonly<Record<string, number>>;
const SHARD = "shardId-000000000000";
const MINUTE = 60_000;

const COUNTING: Omit<TumblingWindowsOptions<Counts>, "close"> = {
  size: "1m",
  initial: () => ({}),
  add: (counts, { partitionKey }) => ({
    ...counts,
    [partitionKey]: (counts[partitionKey] ?? 0) + 1,
  }),
  split: (counts, child) => {
    const own = Object.entries(counts).filter(([key]) => child.owns(key));
    return own.length === 0 ? undefined : Object.fromEntries(own);
  },
  merge: (a, b) => {
    const sum: Record<string, number> = { ...a };
    for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
    return sum;
  },
};

function counting(
  closed: ClosedWindow<Counts>[],
  options: Partial<TumblingWindowsOptions<Counts>> = {},
): RecordProcessorFactory {
  return tumblingWindows({ ...COUNTING, close: (window) => void closed.push(window), ...options });
}

function statesOf(closed: readonly ClosedWindow<Counts>[]): readonly Counts[] {
  return closed.map(({ state }) => state);
}

function rowOf(kit: TestKit, shardId = SHARD): { readonly open: readonly unknown[] } {
  const row = kit.store.rows("shard").find(({ id }) => id === shardId);
  return JSON.parse(row?.state ?? "{}");
}

Deno.test("windows: one is closed by the first record after it, or when nothing comes any more", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({ processor: counting(closed) });
  for (const key of ["a", "b", "a"]) kit.put(key, "");
  await kit.advance(MINUTE - 1_000);
  assertEquals(closed, []);
  await kit.advance(1_000);
  kit.put("c", "");
  await kit.runUntilIdle();
  assertEquals(closed, [{
    id: `${SHARD}/2026-01-01T00:00:00.000Z/1m`,
    start: new Date("2026-01-01T00:00:00Z"),
    end: new Date("2026-01-01T00:01:00Z"),
    state: { a: 2, b: 1 },
    isLate: false,
    isEarly: false,
  }]);
  await kit.advance(MINUTE + 10_000);
  assertEquals(statesOf(closed), [{ a: 2, b: 1 }, { c: 1 }]);
  assertEquals(rowOf(kit).open, [], "what is closed is not kept");
});

Deno.test("windows: they survive a crash, and are closed once by whoever takes the shard over", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({
    processor: counting(closed),
    config: { heartbeatTimeout: 30_000, heartbeat: 10_000 },
  });
  for (const key of ["a", "b", "a"]) kit.put(key, "");
  await kit.runUntilIdle();
  kit.workers[0]?.crash();
  await kit.addWorker();
  await kit.advance(5 * MINUTE);
  assertEquals(statesOf(closed), [{ a: 2, b: 1 }]);
});

Deno.test("windows: a shard where nothing comes after a split or a merge closes what it inherited", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({ processor: counting(closed) });
  for (const key of ["a", "b", "c", "d"]) kit.put(key, "");
  const [left, right] = kit.stream.split(SHARD);
  for (const key of ["a", "b", "c", "d"]) kit.put(key, "");
  await kit.runUntilIdle();
  const child = kit.stream.merge(left, right);
  await kit.advance(5 * MINUTE);
  assertEquals(closed.map(({ id }) => id), [`${child}/2026-01-01T00:00:00.000Z/1m`]);
  assertEquals(statesOf(closed), [{ a: 2, b: 2, c: 2, d: 2 }]);
  const left_ = kit.store.rows("shard").filter(({ state }) => state !== null).map(({ id }) => id);
  assertEquals(left_, [child], "what was taken up is dropped");
});

Deno.test("windows: what a filter leaves out is in none, and closes them all the same", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({
    processor: counting(closed),
    filter: ({ partitionKey }) => partitionKey !== "no",
  });
  kit.put("a", "");
  kit.put("no", "");
  await kit.advance(MINUTE);
  kit.put("no", "");
  await kit.runUntilIdle();
  assertEquals(statesOf(closed), [{ a: 1 }]);
});

Deno.test("windows: a close that fails is tried again, and no record is skipped for it", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  let failures = 4;
  await using kit = await testKit({
    processor: counting(closed, {
      close(window) {
        if (failures-- > 0) throw new Error("the sink is down");
        closed.push(window);
      },
    }),
  });
  kit.put("a", "");
  await kit.advance(MINUTE);
  kit.put("b", "");
  await kit.runUntilIdle();
  assertEquals([statesOf(closed), kit.skipped], [[{ a: 1 }], []]);
  assertMatch(
    kit.told("record_failed")[0]?.error.message ?? "",
    /^Cannot close window ".*": the sink/,
  );
  failures = 3;
  await kit.advance(2 * MINUTE);
  assertEquals(statesOf(closed), [{ a: 1 }, { b: 1 }]);
  assertEquals(
    kit.told("processor_failed").map(({ operation }) => operation),
    Array(3).fill("windows"),
  );
});

Deno.test("windows: a close that goes on failing stops the shard, with the window as it is", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  let isDown = true;
  const processor = counting(closed, {
    close(window) {
      if (isDown) throw new Error("the sink is down");
      closed.push(window);
    },
  });
  await using kit = await testKit({ processor });
  kit.put("a", "");
  await kit.advance(10 * MINUTE);
  assertEquals(
    kit.told("shard_stopped").map(({ reason }) => reason).includes("processorFailed"),
    true,
  );
  isDown = false;
  await kit.addWorker();
  await kit.advance(10 * MINUTE);
  assertEquals(statesOf(closed), [{ a: 1 }]);
});

for (const how of ["fails", "hangs"]) {
  Deno.test(`windows: while close ${how} records come, none is skipped, and the shard goes on by itself`, async () => {
    const closed: ClosedWindow<Counts>[] = [];
    const givenUp: unknown[] = [];
    let isDown = true;
    const processor = counting(closed, {
      async close(window) {
        if (isDown && how === "hangs") await new Promise(() => {});
        if (isDown) throw new Error("the sink is down");
        closed.push(window);
      },
      onMaxRetryExceeded: (record) => void givenUp.push(record),
    });
    await using kit = await testKit({ processor, config: { processTimeout: 10_000 } });
    kit.put("a", "");
    await kit.advance(MINUTE - 1_000);
    for (let i = 0; i < 20; i++) {
      kit.put("b", "");
      await kit.advance(MINUTE);
    }
    isDown = false;
    await kit.advance(20 * MINUTE);
    assertEquals([kit.skipped, givenUp, closed[0]?.state.a], [[], [], 1]);
    assert(kit.told("shard_stopped").every(({ reason }) => reason === "processorFailed"));
    assertEquals(closed.reduce((sum, { state }) => sum + (state.b ?? 0), 0), 20);
  });
}

Deno.test("windows: a record that add throws for after its window could not be closed has its own policy", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  let failures = 2;
  const processor = counting(closed, {
    add(counts, record) {
      if (record.partitionKey === "bad") throw new Error("it is bad");
      return COUNTING.add(counts, record);
    },
    close(window) {
      if (failures-- > 0) throw new Error("the sink is down");
      closed.push(window);
    },
  });
  await using kit = await testKit({ processor });
  kit.put("a", "");
  await kit.advance(MINUTE);
  kit.put("bad", "");
  kit.put("b", "");
  await kit.advance(3 * MINUTE);
  assertEquals([statesOf(closed), kit.told("shard_stopped")], [[{ a: 1 }, { b: 1 }], []]);
});

Deno.test("windows: a record that add throws for is is dealt with as any other, and is in no window", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  const options: Partial<TumblingWindowsOptions<Counts>> = {
    add(counts, record) {
      if (record.text() === "bad") throw new Error("bad");
      return { ...counts, n: (counts["n"] ?? 0) + 1 };
    },
    getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 1 }),
  };
  await using kit = await testKit({ processor: counting(closed, options) });
  for (const text of ["good", "bad", "good"]) kit.put("a", text);
  await kit.advance(3 * MINUTE);
  assertEquals(statesOf(closed), [{ n: 2 }]);
  assertEquals(kit.skipped.map(({ attempts }) => attempts), [2]);
});

Deno.test("windows: a state that becomes too large is closed early, in parts that add up", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({ processor: counting(closed), config: { maxBatchSize: 1_000 } });
  for (let n = 0; n < 3; n++) {
    for (let i = 0; i < 200; i++) kit.put(`${n} ${i} ${"x".repeat(900)}`, "");
    await kit.runUntilIdle();
  }
  await kit.advance(2 * MINUTE);
  assert(closed.length > 1);
  assertEquals(closed.map(({ isEarly }) => isEarly), [
    ...Array(closed.length - 1).fill(true),
    false,
  ]);
  assertEquals(new Set(closed.map(({ id }) => id)).size, closed.length);
  assertEquals(statesOf(closed).flatMap((counts) => Object.values(counts)).length, 600);
  assertEquals(kit.told("processor_failed"), []);
});

Deno.test("windows: one that no record closed is written down as closed before anything else is read", async () => {
  const open: unknown[] = [];
  await using kit = await testKit({
    processor: counting([], { close: () => void open.push(null) }),
    config: { checkpointFrequency: 30 * MINUTE },
  });
  kit.put("a", "");
  for (let i = 0; i < 90 && open.length === 0; i++) await kit.advance(1_000);
  assertEquals([open.length, rowOf(kit).open], [1, []]);
});

Deno.test("windows: a state that JSON cannot say stops the shard, and is told by its place", async () => {
  const processor = tumblingWindows({
    size: "1m",
    initial: () => ({ keys: new Set<string>() }),
    add: (state, { partitionKey }) => ({ keys: state.keys.add(partitionKey) }),
    close() {},
  });
  await using kit = await testKit({ processor });
  kit.put("a", "");
  await kit.advance(5 * MINUTE);
  const [failed] = kit.told("processor_failed");
  assertMatch(failed?.error.message ?? "", /"open\.0\.state\.keys" is a Set/);
  assertEquals(kit.checkpoints[SHARD], "TRIM_HORIZON", "nothing is passed that is not kept");
});

Deno.test("windows: a new version of the processor goes on with those that are open", async () => {
  const [before, after]: ClosedWindow<Counts>[][] = [[], []];
  assert(before !== undefined && after !== undefined);
  await using kit = await testKit({ processor: counting(before) });
  kit.put("a", "");
  await kit.runUntilIdle();
  await kit.workers[0]?.changeProcessor(counting(after));
  kit.put("a", "");
  await kit.advance(2 * MINUTE);
  assertEquals([statesOf(before), statesOf(after)], [[], [{ a: 2 }]]);
});

Deno.test("windows: a processor without windows ends what another one kept", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({ processor: counting(closed) });
  kit.put("a", "");
  await kit.runUntilIdle();
  await kit.workers[0]?.changeProcessor({ process() {} });
  kit.put("a", "");
  await kit.runUntilIdle();
  assertEquals(kit.store.rows("shard")[0]?.state, null);
});

Deno.test("windows: setting a checkpoint drops those that are open; what comes again is counted once", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({ processor: counting(closed) });
  for (const key of ["a", "b", "c", "d"]) kit.put(key, "");
  await kit.runUntilIdle();
  await kit.workers[0]?.stop();
  await using control = await ReactoKinesixApp.control({
    appName: "test",
    streamName: "stream",
    ports: { store: kit.store, source: kit.stream, clock: kit.clock },
  });
  await control.setCheckpoint(SHARD, { kind: "trimHorizon" });
  assertEquals(kit.store.rows("shard")[0]?.state, null);
  const [left, right] = kit.stream.split(SHARD);
  await kit.addWorker();
  await kit.advance(5 * MINUTE);
  assertEquals(closed.map(({ id }) => id).sort(), [
    `${left}/2026-01-01T00:00:00.000Z/1m`,
    `${right}/2026-01-01T00:00:00.000Z/1m`,
  ]);
  assertEquals(Object.assign({}, ...statesOf(closed)), { a: 1, b: 1, c: 1, d: 1 });
});

Deno.test("windows: what a parent left is taken up once, also if another processor comes in between", async () => {
  const closed: ClosedWindow<Counts>[] = [];
  await using kit = await testKit({
    processor: counting(closed),
    config: { checkpointFrequency: 30 * MINUTE },
  });
  kit.put("a", "");
  await kit.advance(3_000);
  kit.stream.split(SHARD);
  await kit.advance(5_000);
  const [worker] = kit.workers;
  assert(worker !== undefined);
  await worker.app.changeProcessor({ process: () => {} });
  for (const key of ["x", "y", "z", "u", "v"]) kit.put(key, "");
  await kit.advance(3_000);
  await worker.app.changeProcessor(counting(closed));
  await kit.advance(2 * MINUTE);
  assertEquals(closed.filter(({ state }) => state.a !== undefined), []);
});

Deno.test("windows: settings and options that do not go with them are refused by name", async () => {
  const processor = counting([]);
  for (const config of [{ concurrency: 4 }, { checkpointMode: "manual" }] as const) {
    const [name = ""] = Object.keys(config);
    await assertRejects(() => testKit({ processor, config }), RangeError, `"${name}"`);
    await using kit = await testKit({ processor: { process() {} }, config });
    const change = (): Promise<void> | undefined => kit.workers[0]?.changeProcessor(processor);
    await assertRejects(async () => await change(), RangeError, `"${name}"`);
  }
  const wrong: readonly (readonly [object, string])[] = [
    [{ size: "1 fortnight" }, "size"],
    [{ size: 999 }, "size"],
    [{ size: 1_000.5 }, "size"],
    [{ grace: "2d" }, "grace"],
    [{ size: "1s", grace: "1h" }, "grace"],
    [{ split: undefined }, '"split" and "merge"'],
    [{ add: undefined }, '"add"'],
  ];
  for (const [options, words] of wrong) {
    assertThrows(() => counting([], options as never), Error, words);
  }
  await using kit = await testKit({ processor: (shardId) => processor(shardId) });
  kit.put("a", "");
  await kit.advance(MINUTE);
  assertMatch(kit.told("processor_failed")[0]?.error.message ?? "", /another factory/);
});

for (const isWhole of [false, true]) {
  const how = isWhole ? "go on whole" : "are split and merged";
  Deno.test(`windows: through crashes, faults, splits and merges, where they ${how}, each record is in one`, async () => {
    const closed = new Map<string, Counts>();
    const records = 100;
    const options = isWhole ? { split: undefined, merge: undefined } : {};
    await simulate({
      processor: tumblingWindows({
        ...COUNTING as TumblingWindowsOptions<Counts>,
        ...options as object,
        size: "20s",
        close: ({ id, state }) => void closed.set(id, state),
      }),
      seeds: 40,
      records,
      setUp: () => closed.clear(),
      check(kit) {
        const rows = kit.store.rows("shard");
        const left = rows.filter((row) => {
          const children = rows.filter(({ parents }) => parents.includes(row.id));
          // Without functions the first child takes all.
          const heirs = isWhole ? children.slice(0, 1) : children;
          return row.state !== null && (heirs.length === 0 || !heirs.every(hasBegun));
        }).flatMap(({ state }) => JSON.parse(state ?? "").open)
          .flatMap(({ state = {} }) => [state as Counts]);
        const all = [...closed.values(), ...left].flatMap((counts) => Object.values(counts));
        assertEquals(all.reduce((a, b) => a + b, 0), records);
      },
    });
  });
}
