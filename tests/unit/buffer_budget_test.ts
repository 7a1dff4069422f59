// Owns: waiting for room in memory: who gets it when, and that it always comes back.
import { assertEquals, assertRejects } from "@std/assert";
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
