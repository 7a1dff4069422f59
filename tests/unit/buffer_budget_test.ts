// Owns: waiting for room in memory: who gets it when, and that it always comes back.
import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { BufferBudget, type ShardBudget } from "../../src/runtime/buffer_budget.ts";
import { settled } from "../virtual_clock.ts";

const never = new AbortController().signal;

/** Asks for exactly so much; tells when it is there. */
function ask(
  shard: ShardBudget,
  bytes: number,
  signal: AbortSignal = never,
): { readonly taken: Promise<number>; readonly got: () => number | undefined } {
  let got: number | undefined;
  const taken = shard.take(bytes, { least: bytes, signal });
  taken.then((bytes) => got = bytes, () => {});
  return { taken, got: () => got };
}

Deno.test("buffer budget: a read has its room until it arrives, and what arrived until it is finished", async () => {
  const budget = new BufferBudget(100);
  const shard = budget.open();
  assertEquals(await shard.take(30, { least: 1, signal: never }), 30);
  assertEquals(budget.heldBytes, 30);
  shard.arrived(12);
  assertEquals(budget.heldBytes, 12);
  assertEquals(await shard.take(20, { least: 1, signal: never }), 20);
  assertEquals(budget.heldBytes, 32);
  shard.finished(12);
  shard.giveBack();
  assertEquals(budget.heldBytes, 0);
});

Deno.test("buffer budget: who asks again gives back what it had", async () => {
  const budget = new BufferBudget(100);
  const shard = budget.open();
  for (let i = 0; i < 10; i++) await shard.take(80, { least: 80, signal: never });
  assertEquals(budget.heldBytes, 80);
});

Deno.test("buffer budget: what arrives unasked is counted, and keeps the others waiting", async () => {
  const budget = new BufferBudget(100);
  const [careless, other] = [budget.open(), budget.open()];
  careless.arrived(500);
  assertEquals(budget.heldBytes, 500);
  const waits = ask(other, 40);
  await settled();
  assertEquals(waits.got(), undefined);
  careless.finished(480);
  assertEquals(await waits.taken, 40);
});

Deno.test("buffer budget: an abort ends the wait, and lets those behind go on", async () => {
  const budget = new BufferBudget(100);
  const [first, second, third] = [budget.open(), budget.open(), budget.open()];
  first.arrived(50);
  const until = new AbortController();
  const large = ask(second, 100, until.signal);
  const small = ask(third, 20);
  await settled();
  assertEquals([large.got(), small.got()], [undefined, undefined]);
  until.abort(new RangeError("not needed"));
  await assertRejects(() => large.taken, RangeError, "not needed");
  assertEquals(await small.taken, 20);
  await assertRejects(() => second.take(1, { least: 1, signal: until.signal }), RangeError);
  assertEquals(budget.heldBytes, 70);
});

Deno.test("buffer budget: the end of a turn frees what it held, whatever that was", async () => {
  const budget = new BufferBudget(100);
  const [lost, other] = [budget.open(), budget.open()];
  lost.arrived(20);
  await lost.take(20, { least: 1, signal: never });
  const waits = ask(other, 90);
  lost[Symbol.dispose]();
  assertEquals(await waits.taken, 90);
  other[Symbol.dispose]();
  assertEquals(budget.heldBytes, 0);
});

Deno.test("buffer budget: what is kept for later counts beside what arrived, until it is said that it is less", async () => {
  const budget = new BufferBudget(100);
  const [shard, other] = [budget.open(), budget.open()];
  await shard.take(80, { least: 1, signal: never });
  shard.keep(70);
  shard.arrived(10);
  assertEquals(budget.heldBytes, 80);
  const waits = ask(other, 90);
  await settled();
  assertEquals(waits.got(), undefined);
  shard.keep(70);
  shard.arrived(5);
  assertEquals(budget.heldBytes, 85);
  shard.finished(10);
  await settled();
  assertEquals(waits.got(), undefined);
  shard.keep(0);
  shard.arrived(3);
  assertEquals(await waits.taken, 90);
  assertEquals(budget.heldBytes, 98);
});

Deno.test("buffer budget: what came and is kept as it is takes no more room than that, and others may use the rest", async () => {
  const budget = new BufferBudget(100);
  const [shard, other] = [budget.open(), budget.open()];
  await shard.take(90, { least: 1, signal: never });
  const waits = ask(other, 60);
  shard.keep(30);
  const turn = shard.turn(never);
  assertEquals(await waits.taken, 60);
  assertEquals(budget.heldBytes, 90);
  await shard.awaited(turn);
});

Deno.test("buffer budget: it is the turn of what comes next only while somebody waits for it", async () => {
  const shard = new BufferBudget(100).open();
  const turns: string[] = [];
  const turn = async (name: string) => {
    await shard.turn(never);
    turns.push(name);
  };
  const first = turn("first");
  await settled();
  assertEquals(turns, []);
  assertEquals(await shard.awaited(first.then(() => "batch")), "batch");
  const second = turn("second");
  await settled();
  assertEquals(turns, ["first"]);
  const batch = Promise.withResolvers<void>();
  const awaited = shard.awaited(batch.promise);
  await second;
  await turn("at once");
  batch.reject(new RangeError("broken"));
  await assertRejects(() => awaited, RangeError);
  const over = new AbortController();
  const third = shard.turn(over.signal);
  await settled();
  over.abort(new RangeError("over"));
  await assertRejects(() => third, RangeError, "over");
  await assertRejects(() => shard.turn(over.signal), RangeError, "over");
  assertEquals(turns, ["first", "second", "at once"]);
});

Deno.test("buffer budget: who fails or ends with something kept keeps nothing", async () => {
  const budget = new BufferBudget(100);
  const shard = budget.open();
  shard.keep(60);
  const waits = ask(budget.open(), 70);
  await settled();
  assertEquals(waits.got(), undefined);
  shard.giveBack();
  assertEquals(await waits.taken, 70);
  shard.keep(20);
  shard[Symbol.dispose]();
  // As a read does that ends after its turn.
  shard.giveBack();
  assertEquals(budget.heldBytes, 70);
});

Deno.test("buffer budget: whatever is kept, given back, brought and finished, it adds up, and nothing is left at the end", async () => {
  const step = fc.record({
    shard: fc.nat(2),
    does: fc.constantFrom("take", "keep", "arrived", "finished", "giveBack", "dispose"),
    bytes: fc.nat(200),
  });
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const budget = new BufferBudget(1_000);
    const shards = [0, 1, 2].map(() => {
      const counts = { reading: 0, kept: 0, inHand: 0, isOver: false };
      return Object.assign(counts, { budget: budget.open() });
    });
    for (const { shard: index, does, bytes } of steps) {
      const shard = shards[index];
      if (shard === undefined) continue;
      if (shard.isOver) {
        Object.assign(shard, { budget: budget.open(), isOver: false });
      }
      const { budget: share } = shard;
      switch (does) {
        case "take": {
          const enough = new AbortController();
          const taken = share.take(bytes, { least: 1, signal: enough.signal });
          await settled();
          enough.abort();
          Object.assign(shard, { kept: 0, reading: await taken.catch(() => 0) });
          break;
        }
        case "keep":
          share.keep(bytes);
          Object.assign(shard, { reading: 0, kept: bytes });
          break;
        case "arrived":
          share.arrived(bytes);
          Object.assign(shard, { reading: 0, inHand: shard.inHand + bytes });
          break;
        case "finished": {
          const finished = Math.min(bytes, shard.inHand);
          share.finished(finished);
          shard.inHand -= finished;
          break;
        }
        case "giveBack":
          share.giveBack();
          Object.assign(shard, { reading: 0, kept: 0 });
          break;
        case "dispose":
          share[Symbol.dispose]();
          Object.assign(shard, { reading: 0, kept: 0, inHand: 0, isOver: true });
          break;
        default:
          does satisfies never;
      }
      const sum = shards.reduce(
        (all, { reading, kept, inHand }) => all + reading + kept + inHand,
        0,
      );
      assertEquals(budget.heldBytes, sum, does);
    }
    for (const { budget: share, isOver } of shards) if (!isOver) share[Symbol.dispose]();
    assertEquals(budget.heldBytes, 0);
  }));
});
