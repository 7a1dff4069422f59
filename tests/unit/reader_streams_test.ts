// Owns: readers as others read them: ReadableStream, pipes with back-pressure, RxJS 7 and 8, @std/async; what is kept in memory.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concatMap, from, lastValueFrom, mergeMap, take as takeRx } from "rxjs";
import { from as from8, mergeMap as mergeMap8 } from "npm:rxjs@8.0.0-alpha.14";
// The code of @std/async from npm.
import { abortable } from "npm:deno-std@1.4.0/async/abortable.js";
import { pooledMap } from "npm:deno-std@1.4.0/async/pool.js";
import type { RecordDelivery } from "../../src/pull/delivery.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";
import { checkpointOf, startRecords } from "./reader_testing.ts";

/** Work that goes on until a test says so: what is under way, and the most that was at once. */
class Works {
  readonly begun: string[] = [];
  readonly #open: (() => void)[] = [];
  most = 0;

  async do({ record }: RecordDelivery): Promise<void> {
    this.begun.push(record.text());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open.push(resolve);
    this.most = Math.max(this.most, this.#open.length);
    await promise;
  }

  get underWay(): number {
    return this.#open.length;
  }

  /** Ends the oldest. */
  end(): void {
    this.#open.shift()?.();
  }
}

/** Ends one work after the other, as long as there are any. */
async function endAll(cluster: Cluster, works: Works): Promise<void> {
  while (works.underWay > 0) {
    works.end();
    await cluster.clock.advance(0);
  }
}

Deno.test("reader: a pipe into a sink has one record out at a time, which is finished when it is written", async () => {
  const cluster = new Cluster(1);
  cluster.put(5);
  const { reader } = await startRecords(cluster, "A", { config: { concurrency: 4 } });
  const works = new Works();
  const pipe = ReadableStream.from(reader)
    .pipeTo(new WritableStream({ write: (delivery) => works.do(delivery) }));
  await cluster.clock.advance(60_000);
  assertEquals([works.begun, await checkpointOf(cluster)], [["0"], 0]);
  works.end();
  await cluster.clock.advance(60_000);
  assertEquals([works.begun, await checkpointOf(cluster)], [["0", "1"], 1]);
  await endAll(cluster, works);
  await cluster.clock.advance(1_000);
  assertEquals([works.most, await checkpointOf(cluster)], [1, 5]);
  await cluster.clock.until(Promise.all([reader.stop(), pipe]));
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("reader: a sink that fails ends the pipe and stops the worker; its record comes again", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.put(4);
  const { reader } = await startRecords(cluster, "A");
  const pipe = ReadableStream.from(reader).pipeTo(
    new WritableStream({
      write({ record }) {
        if (record.text() === "2") throw new Error("disk full");
      },
    }),
  );
  await assertRejects(() => cluster.clock.until(pipe), Error, "disk full");
  await cluster.clock.until(reader.app.finished);
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(1_000);
  assertEquals(journal.texts("B"), ["2", "3"]);
});

Deno.test("reader: through a pipe with a buffer in it, ack manual finishes what has arrived", async () => {
  const cluster = new Cluster(1);
  cluster.put(9);
  const config = { concurrency: 4 };
  const { reader } = await startRecords(cluster, "A", { ack: "manual", config });
  const works = new Works();
  const buffer = new TransformStream<RecordDelivery, RecordDelivery>(
    {},
    { highWaterMark: 100 },
    { highWaterMark: 100 },
  );
  const sink = new WritableStream<RecordDelivery>({
    async write(delivery) {
      await works.do(delivery);
      delivery.ack();
    },
  });
  const pipe = ReadableStream.from(reader).pipeThrough(buffer).pipeTo(sink);
  await cluster.clock.advance(60_000);
  assertEquals([works.begun.length, await checkpointOf(cluster)], [1, 0]);
  await endAll(cluster, works);
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 9);
  await cluster.clock.until(Promise.all([reader.stop(), pipe]));
});

Deno.test("reader: to cancel a stream that waits stops the worker", async () => {
  const cluster = new Cluster(1);
  const { reader } = await startRecords(cluster, "A");
  const stream = ReadableStream.from(reader).getReader();
  const read = stream.read();
  await settled();
  await cluster.clock.until(stream.cancel());
  assertEquals((await read).done, true);
  await reader.app.finished;
});

for (
  const [name, pipeline] of [
    [
      "RxJS 7",
      (reader: AsyncIterable<RecordDelivery>, work: (delivery: RecordDelivery) => Promise<void>) =>
        lastValueFrom(from(reader).pipe(mergeMap(work)), { defaultValue: undefined }),
    ],
    [
      "RxJS 8",
      (reader: AsyncIterable<RecordDelivery>, work: (delivery: RecordDelivery) => Promise<void>) =>
        new Promise<void>((resolve, reject) => {
          from8(reader).pipe(mergeMap8(work)).subscribe({ complete: resolve, error: reject });
        }),
    ],
  ] as const
) {
  Deno.test(`reader: ${name} gets every record, no more than \`concurrency\` of a shard at a time`, async () => {
    const cluster = new Cluster(2);
    cluster.put(60);
    const config = { concurrency: 3 };
    const { reader } = await startRecords(cluster, "A", { ack: "manual", config });
    const works = new Works();
    const done = pipeline(reader, async (delivery) => {
      await works.do(delivery);
      delivery.ack();
    });
    await cluster.clock.advance(60_000);
    assert(works.most > 2 && works.most <= 6, `${works.most}`);
    await endAll(cluster, works);
    assert(works.most <= 6, `${works.most}`);
    assertEquals(works.begun.map(Number).sort((a, b) => a - b), upTo(60));
    await cluster.clock.until(reader.stop());
    await cluster.clock.until(done);
  });
}

Deno.test("reader: RxJS by shard: one after the other within a shard, the shards side by side", async () => {
  const cluster = new Cluster(2);
  cluster.put(40);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const works = new Works();
  const done = lastValueFrom(
    from(reader.shards()).pipe(
      mergeMap((shard) =>
        from(shard).pipe(concatMap(async (delivery) => {
          await works.do(delivery);
          delivery.ack();
        }))
      ),
    ),
  );
  await cluster.clock.advance(1_000);
  await endAll(cluster, works);
  assertEquals(works.most, 2);
  assertEquals(works.begun.length, 40);
  await cluster.clock.until(reader.stop());
  await cluster.clock.until(done);
});

Deno.test("reader: RxJS take() stops the worker with the next record, which is not finished", async () => {
  const cluster = new Cluster(1);
  cluster.put(5);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const work = concatMap((delivery: RecordDelivery) => {
    delivery.ack();
    return [delivery.record.text()];
  });
  const last = lastValueFrom(from(reader).pipe(work, takeRx(2)));
  assertEquals(await cluster.clock.until(last), "1");
  await cluster.clock.until(reader.app.finished);
  assertEquals(await checkpointOf(cluster), 2);
});

Deno.test("reader: an app that cannot go on is an error of the observable", async () => {
  const cluster = new Cluster(1);
  const { reader } = await startRecords(cluster, "A");
  const done = lastValueFrom(from(reader));
  done.catch(() => {});
  const { reader: newer } = await startRecords(cluster, "A");
  await assertRejects(() => cluster.clock.until(done), Error, "worker");
  await cluster.clock.until(newer.stop());
});

Deno.test("reader: pooledMap and abortable of @std/async", async () => {
  const cluster = new Cluster(1);
  cluster.put(10);
  const config = { concurrency: 10 };
  const { reader } = await startRecords(cluster, "A", { ack: "manual", config });
  const works = new Works();
  const stop = new AbortController();
  const results: AsyncIterable<string> = pooledMap(
    2,
    abortable(reader, stop.signal),
    async (delivery: RecordDelivery) => {
      await works.do(delivery);
      delivery.ack();
      return delivery.record.text();
    },
  );
  const texts: string[] = [];
  const done = (async () => {
    for await (const text of results) texts.push(text);
  })();
  done.catch(() => {});
  await cluster.clock.advance(1_000);
  await endAll(cluster, works);
  assertEquals(works.most, 2);
  assertEquals(texts.map(Number).sort((a, b) => a - b), upTo(10));
  stop.abort();
  await assertRejects(() => cluster.clock.until(done), AggregateError);
  await cluster.clock.until(reader.app.finished);
});

Deno.test("reader: one that is slow has no more in memory than maxBufferedBytes", async () => {
  const cluster = new Cluster(4);
  const text = "x".repeat(10_000);
  for (let i = 0; i < 4_000; i++) cluster.stream.put(`key-${i}`, text);
  const config = { maxBufferedBytes: 2 ** 20 };
  const { reader } = await startRecords(cluster, "A", { config });
  let most = 0;
  let read = 0;
  const loop = (async () => {
    for await (const _ of reader) {
      read += 1;
      await cluster.clock.sleep(1_000, new AbortController().signal);
      most = Math.max(most, reader.app.bufferedBytes);
    }
  })();
  await cluster.clock.advance(300_000);
  assert(read > 250);
  assert(most > 0 && most <= 2 ** 20, `${most} bytes of 40 MB`);
  await cluster.clock.until(Promise.all([reader.stop(), loop]));
});

Deno.test("reader: a loop that never waits lets the heartbeats through", async () => {
  const cluster = new Cluster(1);
  cluster.put(200);
  const { reader, events } = await startRecords(cluster, "A");
  let read = 0;
  const loop = (async () => {
    for await (const _ of reader) {
      read += 1;
      cluster.clock.pass(90);
    }
  })();
  await cluster.clock.advance(60_000);
  assertEquals(read, 200);
  const lost = events.map(({ type }) => type).filter((type) => type === "worker_fenced");
  assertEquals(lost, []);
  await cluster.clock.until(Promise.all([reader.stop(), loop]));
});
