// Owns: items that are written together with a checkpoint: what a lost reply, a refusal, a loss and a stop may and may not do.
import type { TransactionItem } from "../../src/transaction_item.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { claim, type LeaseChange } from "../../src/core/lease.ts";
import {
  LeaseLostError,
  type RefusedItem,
  StoreError,
  TransactionRefusedError,
} from "../../src/errors.ts";
import type { Transaction, TransactionResult } from "../../src/ports.ts";
import { Lease } from "../../src/runtime/lease_keeper.ts";
import { takeShard } from "../../src/runtime/take_shard.ts";
import { settled } from "../virtual_clock.ts";
import { Bench, claimantOf } from "./runtime_testing.ts";

/** What becomes of one transaction on its way. */
type Fate =
  | "made"
  | "request lost"
  | "reply lost"
  | "throttled"
  | "denied"
  | "invalid"
  | readonly RefusedItem[];

const NEVER = new AbortController().signal;

function at(sequence: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(sequence) };
}

function to(sequence: number) {
  return { position: at(sequence), millisBehindLatest: 0 };
}

function put(id: string): TransactionItem {
  return { Put: { TableName: "sink", Item: { id: { S: id } } } };
}

/** A worker that holds shard `s`, and whose transactions fare as told; later ones are made. */
async function holding(...fates: readonly Fate[]) {
  const bench = new Bench();
  const row = await bench.addShard();
  const queue = [...fates];
  const sent: { readonly change: LeaseChange; readonly token: string }[] = [];
  let beforeSend = (): void | Promise<void> => {};
  const transact = async (
    change: LeaseChange,
    transaction: Transaction,
    signal: AbortSignal,
  ): Promise<TransactionResult> => {
    sent.push({ change, token: transaction.token });
    await beforeSend();
    signal.throwIfAborted();
    const fate = queue.shift() ?? "made";
    if (fate === "throttled" || fate === "denied" || fate === "invalid") {
      throw new StoreError(fate, { kind: fate });
    }
    if (typeof fate !== "string") return { kind: "refused", refused: fate };
    const result = fate === "request lost"
      ? undefined
      : await bench.store.table.transact(change, transaction, signal);
    if (fate === "made" && result !== undefined) return result;
    throw new StoreError("no answer", { kind: "unavailable", maybeApplied: true });
  };
  Object.assign(bench.store, { transact });
  const lease = await bench.clock.until(takeShard(row, bench.deps(), bench.signal));
  assert(lease instanceof Lease);
  bench.store.sent.length = 0;
  return {
    bench,
    lease,
    sent,
    written: () =>
      bench.store.table.transacted.map((items) => items.map(({ Put }) => Put?.Item?.id?.S)),
    onSend: (work: () => void | Promise<void>) => void (beforeSend = work),
  };
}

Deno.test("transaction: the items and the checkpoint are written, once, and the lease knows", async () => {
  const { bench, lease, sent, written } = await holding();
  await bench.clock.until(lease.transact([put("a"), put("b")], to(5), NEVER));
  assertEquals(written(), [["a", "b"]]);
  assertEquals((await bench.store.shard("s")).checkpoint, at(5));
  assertEquals(lease.row.checkpoint, at(5));
  // The processor failed after it, and does it again.
  await bench.clock.until(lease.transact([put("a"), put("b")], to(5), NEVER));
  lease.finished(at(5), 0);
  await bench.clock.advance(10_000);
  assertEquals([sent.length, bench.store.sent.length], [1, 0]);
  assertEquals(bench.told("checkpoint_written").map(({ checkpoint }) => checkpoint), ["5"]);
  lease.finished(at(7), 0);
  await bench.clock.advance(10_000);
  assertEquals((await bench.store.shard("s")).checkpoint, at(7));
  assertEquals(await bench.clock.until(lease.release()), "done");
});

Deno.test("transaction: a lost reply is never guessed: the same is sent again under the same token", async () => {
  for (const fate of ["reply lost", "request lost", "throttled", "denied"] as const) {
    const { bench, lease, sent, written } = await holding(fate, fate);
    await bench.clock.until(lease.transact([put("a")], to(5), NEVER));
    assertEquals(written(), [["a"]], fate);
    assertEquals(sent.length, 3, fate);
    assertEquals(new Set(sent.map(({ token }) => token)).size, 1, fate);
    assertEquals(new Set(sent.map(({ change }) => JSON.stringify(change))).size, 1, fate);
    assertEquals(lease.row.checkpoint, at(5));
    lease.lose("test over");
  }
});

Deno.test("transaction: after its token is forgotten the row decides whether it was written", async () => {
  const { bench, lease, written } = await holding("reply lost");
  const { table } = bench.store;
  const transact = table.transact.bind(table);
  let sent = 0;
  // Each is another one to a table that knows no tokens.
  table.transact = (change, { items }, signal) =>
    transact(change, { items, token: `${sent++}` }, signal);
  await bench.clock.until(lease.transact([put("a")], to(5), NEVER));
  assertEquals([written(), sent], [[["a"]], 2]);
  await bench.clock.until(lease.transact([put("b")], to(6), NEVER));
  assertEquals(written(), [["a"], ["b"]]);
  lease.lose("test over");
});

Deno.test("transaction: a doubt is not left for an answer that says nothing about it", async () => {
  const { bench, lease, written } = await holding("reply lost", "invalid");
  await bench.clock.until(lease.transact([put("a")], to(5), NEVER));
  assertEquals(written(), [["a"]]);
  lease.lose("test over");
});

Deno.test("transaction: what DynamoDB refuses is told item by item; nothing is written, and the turn goes on", async () => {
  const refused = [{ index: 1, code: "ConditionalCheckFailed", message: "it failed" }];
  const { bench, lease, written } = await holding(refused);
  const error = await bench.clock.until(assertRejects(
    () => lease.transact([put("a"), put("b")], to(5), NEVER),
    TransactionRefusedError,
    'item 1 (Put in table "sink"): ConditionalCheckFailed, "it failed"',
  ));
  assertEquals(error.refused, refused);
  assertEquals([written(), lease.isHeld], [[], true]);
  await bench.clock.until(lease.transact([put("a")], to(5), NEVER));
  assertEquals(written(), [["a"]]);
  lease.lose("test over");
});

Deno.test("transaction: a request that DynamoDB does not accept is an error at once", async () => {
  const { bench, lease, sent } = await holding("invalid");
  const transact = () => lease.transact([put("a")], to(5), NEVER);
  const error = await bench.clock.until(assertRejects(transact, StoreError, "invalid"));
  assertEquals([error.kind, sent.length, lease.isHeld], ["invalid", 1, true]);
  lease.lose("test over");
});

Deno.test("transaction: whoever lost the shard writes nothing", async () => {
  const { bench, lease, written } = await holding();
  const change = claim(await bench.store.shard("s"), claimantOf("B"));
  await bench.store.table.write(change, bench.signal);
  await bench.clock.until(
    assertRejects(() => lease.transact([put("a")], to(5), NEVER), LeaseLostError),
  );
  assertEquals([written(), lease.isHeld], [[], false]);
  await assertRejects(() => lease.transact([put("a")], to(6), NEVER), LeaseLostError);
  assertEquals(bench.told("lease_lost").length, 1);
});

Deno.test("transaction: behind the fence nothing is written", async () => {
  const { bench, lease, written, sent } = await holding();
  bench.fence.lower();
  await bench.clock.until(
    assertRejects(() => lease.transact([put("a")], to(5), NEVER), LeaseLostError, "heartbeat"),
  );
  assertEquals([written(), sent.length], [[], 0]);
});

Deno.test("transaction: one that cannot be written is withdrawn when the shard is to be given up", async () => {
  const { bench, lease, written } = await holding(...Array(100).fill("throttled"));
  const until = new AbortController();
  const failed = assertRejects(
    () => lease.transact([put("a")], to(5), until.signal),
    LeaseLostError,
    "before its items were written",
  );
  await bench.clock.advance(30_000);
  until.abort();
  await bench.clock.until(failed);
  assertEquals(await bench.clock.until(lease.release()), "done");
  assertEquals([written(), (await bench.store.shard("s")).checkpoint], [
    [],
    { kind: "trimHorizon" },
  ]);
});

Deno.test("transaction: one in doubt is not withdrawn, so that the next owner begins after it", async () => {
  const { bench, lease, written } = await holding("reply lost");
  const until = new AbortController();
  const written5 = lease.transact([put("a")], to(5), until.signal);
  await settled();
  until.abort();
  const released = lease.release();
  await bench.clock.until(written5);
  assertEquals(await bench.clock.until(released), "done");
  assertEquals([written(), (await bench.store.shard("s")).checkpoint], [[["a"]], at(5)]);
});

Deno.test("transaction: cut short in doubt, the shard is given up no earlier than where it was written", async () => {
  const { bench, lease, written, onSend } = await holding("reply lost");
  const held = Promise.withResolvers<void>();
  let sent = 0;
  onSend(() => (sent += 1) === 2 ? held.promise : undefined);
  const failed = assertRejects(() => lease.transact([put("a")], to(5), NEVER), LeaseLostError);
  await bench.clock.advance(1_000);
  assertEquals(sent, 2, "nobody knows what became of the first one");
  lease.abandon("it takes too long");
  const released = lease.release();
  held.resolve();
  await bench.clock.until(failed);
  assertEquals(await bench.clock.until(released), "done");
  assertEquals([written(), (await bench.store.shard("s")).checkpoint], [[["a"]], at(5)]);
});

Deno.test("transaction: it never overtakes a checkpoint, nor is overtaken", async () => {
  const { bench, lease, written } = await holding("reply lost");
  lease.finished(at(3), 0);
  const first = lease.transact([put("a")], to(5), NEVER);
  lease.finished(at(5), 0);
  const second = lease.transact([put("b")], to(9), NEVER);
  await bench.clock.until(Promise.all([first, second]));
  assertEquals(written(), [["a"], ["b"]]);
  assertEquals((await bench.store.shard("s")).checkpoint, at(9));
  assertEquals(bench.failures, []);
  lease.lose("test over");
  await settled();
});

Deno.test("transaction: items for what the checkpoint passed without them are refused", async () => {
  const { bench, lease, written } = await holding();
  lease.finished(at(5), 0);
  await bench.clock.until(lease.checkpointed());
  await assertRejects(
    () => lease.transact([put("a")], to(5), NEVER),
    RangeError,
    'after 5 of shard "s": it is passed already',
  );
  assertEquals(written(), []);
  lease.lose("test over");
});

Deno.test("transaction: a store without transactions is named", async () => {
  const bench = new Bench();
  const row = await bench.addShard();
  const lease = await bench.clock.until(takeShard(row, bench.deps(), bench.signal));
  assert(lease instanceof Lease);
  const transact = () => lease.transact([put("a")], to(5), NEVER);
  await assertRejects(transact, TypeError, 'implement "transact" in "ports.store"');
  lease.lose("test over");
});
