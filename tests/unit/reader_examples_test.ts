// Owns: the examples that ask for records finish what they did, try again what failed, and end.
import { assert, assertEquals } from "@std/assert";
import { billOrders } from "../../examples/pull.ts";
import { type Order, writeOrders } from "../../examples/rxjs_pipeline.ts";
import { readRecords } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";

const SHARDS = 2;

function orders(count: number): { readonly stream: MemoryStream; readonly ids: readonly string[] } {
  const stream = new MemoryStream({ shards: SHARDS });
  const ids = Array.from({ length: count }, (_, i) => `order ${i}`);
  for (const id of ids) stream.put(`customer of ${id}`, JSON.stringify({ id, total: 1 }));
  return { stream, ids };
}

const NAMES = { appName: "Test", streamName: "orders" };

Deno.test("examples/pull.ts bills every order once, and again what failed", async () => {
  const { stream, ids } = orders(20);
  const store = new MemoryLeaseStore();
  const stop = new AbortController();
  const billed: string[] = [];
  let failures = 0;
  await billOrders(
    { ...NAMES, ports: { store, source: stream }, signal: stop.signal },
    ({ id }) => {
      if (id === "order 3" && failures++ === 0) throw new Error("no answer");
      billed.push(id);
      if (billed.length === ids.length) stop.abort();
      return Promise.resolve();
    },
  );
  assertEquals(billed.toSorted(), ids.toSorted());
  assertEquals(failures, 2);
});

Deno.test("examples/rxjs_pipeline.ts writes every order, many at a time, and those again that failed", async () => {
  const { stream, ids } = orders(300);
  const store = new MemoryLeaseStore();
  stream.put("somebody", "no JSON");
  await using records = await readRecords({
    ...NAMES,
    ack: "manual",
    config: { concurrency: 50 },
    ports: { store, source: stream },
  });
  const written: Order[] = [];
  const sizes: number[] = [];
  let failures = 0;
  const sink = {
    write(orders: readonly Order[]): Promise<void> {
      if (sizes.length === 1 && failures++ === 0) throw new Error("disk full");
      sizes.push(orders.length);
      written.push(...orders);
      if (written.length === ids.length) void records.stop();
      return Promise.resolve();
    },
  };
  await writeOrders(records, sink).forEach(() => {});
  assertEquals(written.map(({ id }) => id).toSorted(), ids.toSorted());
  assertEquals(failures, 2);
  assert(Math.max(...sizes) > 10, `${sizes}`);
  assert(Math.max(...sizes) <= 50 * SHARDS, `${sizes}`);
});
