// What every simulation stands on: when events happen, and what happens between them.
import { assertEquals } from "@std/assert";
import { placeAfter, SimStream } from "./sim_stream.ts";
import { withTripwires } from "./tripwires.ts";
import { World } from "./world.ts";

const OPTIONS = { eventsMax: 10_000 };

Deno.test("all that follows from an event happens before the next one", async () => {
  const world = new World(1, OPTIONS);
  const story: string[] = [];
  const chain = async (name: string): Promise<void> => {
    for (let i = 0; i < 200; i++) await Promise.resolve();
    story.push(`${name} at ${world.now}`);
  };
  // More than one turn of the event loop takes.
  for (let i = 0; i < 300; i++) world.after(i, () => void chain(`event ${i}`));
  await world.runUntil(1_000);
  assertEquals(story, Array.from({ length: 300 }, (_, i) => `event ${i} at ${i}`));
  assertEquals(world.events, 300);
  assertEquals(world.now, 1_000);
});

Deno.test("a rejection that nobody handles is told before the next event", async () => {
  const world = new World(1, OPTIONS);
  let after = 0;
  world.after(1, () => void Promise.reject(new Error("lost")));
  for (let ms = 2; ms < 10; ms++) world.after(ms, () => after += 1);
  await withTripwires(() => world.runUntil(100), (what) => world.fail("stray", what));
  const [line] = world.failure?.message.split("\n") ?? [];
  assertEquals(line, "stray: unhandled rejection: Error: lost");
  assertEquals(after, 0);
});

Deno.test("what an event throws ends the run", async () => {
  const world = new World(1, OPTIONS);
  world.after(1, () => {
    throw new Error("a defect of the simulator");
  });
  world.after(2, () => world.fail("no", "this must not happen"));
  const thrown = await world.runUntil(10).then(() => null, (error) => error.message);
  assertEquals(thrown, "a defect of the simulator");
  assertEquals(world.failure, undefined);
});

Deno.test("a world halts at the time at which it was told to", async () => {
  const world = new World(1, OPTIONS);
  world.haltAt = 50;
  const times: number[] = [];
  for (const ms of [10, 50, 51, 90]) world.after(ms, () => times.push(world.now));
  await world.runUntil(20);
  assertEquals(world.failure, undefined);
  await world.runUntil(100);
  assertEquals([times, world.now, world.failure?.checker], [[10, 50], 50, "halt"]);
});

Deno.test("the place after a position is that of the first record that is further", () => {
  let now = 0;
  const stream = new SimStream(1, () => now);
  for (; now < 30; now++) stream.put("key", 1_000 + now * 10);
  const [shard] = stream.shards;
  if (shard === undefined) throw new Error("There must be a shard");
  assertEquals(placeAfter(shard, { kind: "trimHorizon" }), 0);
  assertEquals(placeAfter(shard, { kind: "shardEnd" }), 30);
  for (const [place, record] of shard.records.entries()) {
    const { sequenceNumber, approximateArrivalTimestamp: timestamp } = record;
    assertEquals(placeAfter(shard, { kind: "sequence", sequenceNumber }), place + 1);
    assertEquals(placeAfter(shard, { kind: "timestamp", timestamp }), place);
    assertEquals(placeAfter(shard, { kind: "timestamp", timestamp: timestamp + 1 }), place + 1);
  }
});
