// Owns: records, contexts and aggregates made by hand, and the clock by itself.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  aggregate,
  processContext,
  record,
  SeededRandom,
  VirtualClock,
} from "@reacto/kinesix/testing";
import * as kpl from "../kpl.ts";

Deno.test("record: it is what a processor gets", () => {
  assertEquals(record().text(), "");
  const made = record({
    data: { total: 3 },
    partitionKey: "customer-1",
    sequenceNumber: "12",
    subSequenceNumber: 0,
    shardId: "shardId-000000000001",
    approximateArrivalTimestamp: new Date(5),
  });
  assertEquals(made.json(), { total: 3 });
  assertEquals(
    { ...made },
    {
      partitionKey: "customer-1",
      sequenceNumber: "12",
      subSequenceNumber: 0,
      shardId: "shardId-000000000001",
      approximateArrivalTimestamp: new Date(5),
    },
  );
  const bytes = new Uint8Array([1]);
  const { data } = record({ data: bytes });
  data[0] = 2;
  assertEquals(bytes[0], 1, "a processor that changes its bytes changes nobody's");
});

Deno.test("context: a first attempt, and what is said to be different", async () => {
  const context = processContext({ attempt: 3 });
  assertEquals([context.attempt, context.term, context.signal.aborted], [3, 1, false]);
  await context.checkpoint();
});

Deno.test("aggregate: it is what another encoder makes of the same records", () => {
  const packed = fc.record({
    partitionKey: fc.string({ minLength: 1 }),
    explicitHashKey: fc.option(fc.nat().map(String), { nil: undefined }),
    data: fc.uint8Array({ maxLength: 300 }),
  });
  fc.assert(
    fc.property(fc.array(packed, { minLength: 1, maxLength: 200 }), (records) => {
      const ours = records.map(({ explicitHashKey, ...rest }) =>
        explicitHashKey === undefined ? rest : { ...rest, explicitHashKey }
      );
      assertEquals(aggregate(ours), kpl.aggregate(records));
    }),
    { numRuns: 50 },
  );
});

Deno.test("clock: sleeps end when they are due, those of one moment in their order", async () => {
  const clock = new VirtualClock();
  const log: string[] = [];
  const { signal } = new AbortController();
  const sleep = (name: string, ms: number): void => {
    void clock.sleep(ms, signal).then(() => log.push(`${name} at ${clock.monotonic()}`));
  };
  sleep("c", 30);
  sleep("a", 10);
  sleep("b", 10);
  await clock.advance(20);
  assertEquals([log, clock.monotonic(), clock.sleeping], [["a at 10", "b at 10"], 20, 1]);
  clock.pass(100);
  await clock.advance(0);
  assertEquals([log.at(-1), clock.sleeping], ["c at 120", 0]);
  const controller = new AbortController();
  const slept = assertRejects(() => clock.sleep(1, controller.signal), Error, "enough");
  controller.abort(new Error("enough"));
  await slept;
  assertEquals(clock.sleeping, 0);
  await assertRejects(() => clock.until(new Promise(() => {}), 5), RangeError, "within 5 ms");
});

Deno.test("chance: the same for a seed, in its bounds, and evenly spread", () => {
  const drawn = (seed: number): readonly number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 2_000 }, () => random.whole(1, 10));
  };
  assertEquals(drawn(1), drawn(1));
  assert(drawn(1).join() !== drawn(2).join());
  const counts = Map.groupBy(drawn(1), (n) => n);
  assertEquals([...counts.keys()].sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert([...counts.values()].every(({ length }) => length > 140 && length < 260));
  assert(new SeededRandom(1).uuid() !== new SeededRandom(2).uuid());
  assertThrows(() => new SeededRandom().pick([]), RangeError, "pick one of nothing");
});
