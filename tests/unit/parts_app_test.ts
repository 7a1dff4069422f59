// Owns: long answers in a whole worker: who gets them in parts, and that a stop, a new processor or a broken answer loses nothing.
import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import type { RecordProcessor } from "../../src/processor.ts";
import { upTo } from "./app_testing.ts";
import { PartedShard, PROCESS_MS } from "./parts_testing.ts";

const LONG = 300;

/** Whoever processes records of this shard has had one read, and waits for more. */
async function begun(processorOf: (shard: PartedShard) => RecordProcessor) {
  const shard = new PartedShard();
  shard.put(1);
  const sizes: number[] = [];
  const app = await shard.start(processorOf(shard), (event) => {
    if (event.type === "batch_processed" && event.records > 0) sizes.push(event.records);
  });
  await shard.clock.advance(5_000);
  assertEquals(sizes, [1]);
  shard.put(LONG);
  return { shard, app, sizes };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

Deno.test("parts in a worker: a slow processor gets reads of a second's work, in parts of a tenth of a second", async () => {
  const { shard, app, sizes } = await begun(({ one }) => one);
  const before = shard.reads;
  await shard.until(1 + LONG);
  assertEquals(shard.numbers, upTo(1 + LONG));
  assertEquals(sum(sizes), 1 + LONG);
  const parts = sizes.slice(1);
  assertGreater(parts.length, LONG / 9);
  // The last two of a read come as one.
  for (const records of parts.slice(3, -1)) assert(3 <= records && records <= 9, String(parts));
  const seconds = LONG * PROCESS_MS / 1_000;
  const reads = shard.reads - before;
  assert(seconds - 1 <= reads && reads <= seconds + 2, `${reads}`);
  await shard.clock.until(app.stop());
});

Deno.test("parts in a worker: after a stop amid an answer the next one goes on behind it", async () => {
  const { shard, app } = await begun(({ one }) => one);
  const { numbers } = shard;
  await shard.until(LONG / 2);
  await shard.clock.until(app.stop());
  assert(20 < numbers.length && numbers.length < LONG, `${numbers.length}`);
  const next = await shard.start(shard.one);
  await shard.until(1 + LONG);
  assertEquals(numbers, upTo(1 + LONG));
  await shard.clock.until(next.stop());
});

Deno.test("parts in a worker: an answer that breaks off is read again from there", async () => {
  const { shard, app, sizes } = await begun(({ one }) => one);
  shard.breaksAt = 200;
  await shard.until(1 + LONG);
  assertEquals(shard.breaksAt, undefined);
  assertEquals(shard.numbers, upTo(1 + LONG));
  assertGreater(sizes.length, 10);
  await shard.clock.until(app.stop());
});

Deno.test("parts in a worker: who processes batches gets whole reads, also after another who did not", async () => {
  const { shard, app } = await begun(({ many }) => many);
  const { batches } = shard;
  await shard.until(1 + LONG);
  assertEquals(batches, [1, LONG]);
  await shard.clock.until(app.changeProcessor(shard.one));
  shard.put(1);
  await shard.until(2 + LONG);
  shard.put(LONG);
  await shard.until(2 + 1.5 * LONG);
  await shard.clock.until(app.changeProcessor(shard.many));
  await shard.until(2 + 2 * LONG);
  assertLessOrEqual(batches.length, 5, "what is left of an answer comes as a whole");
  batches.length = 0;
  shard.put(LONG);
  await shard.until(2 + 3 * LONG);
  assertEquals(batches, [LONG]);
  assertEquals(shard.numbers, upTo(2 + 3 * LONG));
  await shard.clock.until(app.stop());
});
