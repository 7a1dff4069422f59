// Owns: what every StreamSource must do, as one suite.
// Must not: know an implementation.
// Called by: stream_source_contract_test.ts.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { heldBytesOf } from "../../src/core/byte_size.ts";
import { type Checkpoint, SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { SourceError } from "../../src/errors.ts";
import type {
  Batch,
  Clock,
  ReadBudget,
  ShardInfo,
  SourceRecord,
  StreamSource,
} from "../../src/ports.ts";

/** A stream, and how to change it. */
export interface StreamBackend extends AsyncDisposable {
  readonly source: StreamSource;
  /** The clock of the stream and of the source. */
  readonly clock: Pick<Clock, "now"> & { leap(ms: number): void };
  put(partitionKey: string, data: Uint8Array): Promise<{ shardId: string; sequenceNumber: string }>;
  split(shardId: string): Promise<void>;
  merge(shardId: string, adjacentShardId: string): Promise<void>;
}

type Case = StreamBackend & { readonly signal: AbortSignal };

/** Runs the suite on one implementation; each case has a stream of its own. */
export function testStreamSource(
  name: string,
  start: (shards: number) => Promise<StreamBackend>,
): void {
  for (const [title, { shards, run }] of Object.entries(CASES)) {
    Deno.test(`stream source contract: ${name}: ${title}`, async () => {
      await using backend = await start(shards);
      await run(Object.assign(backend, { signal: new AbortController().signal }));
    });
  }
}

const CASES: Record<string, { shards: number; run: (test: Case) => Promise<void> }> = {
  "records come in order, as they were put": {
    shards: 1,
    run: async (test) => {
      const start = test.clock.now();
      const puts = await putMany(test, 25);
      const records = await take(test, 25);
      assertEquals(records.map((record) => record.sequenceNumber), puts);
      records.forEach(({ partitionKey, data, approximateArrivalTimestamp }, i) => {
        assertEquals([partitionKey, text(data)], [`key-${i}`, `record ${i}`]);
        // A service may keep whole seconds only.
        assert(Math.abs(approximateArrivalTimestamp - start) <= 1_000);
      });
    },
  },

  "any bytes come back, of any number": {
    shards: 1,
    run: async (test) => {
      const payloads = [0, 1, 255, 5_000, 1_000_000].map((size) =>
        Uint8Array.from({ length: size }, (_, i) => (i * 7) % 256)
      );
      for (const payload of payloads) await test.put("key", payload);
      const records = await take(test, payloads.length);
      assertEquals(records.map((record) => record.data), payloads as Uint8Array<ArrayBuffer>[]);
    },
  },

  "reading goes on after each kind of position": {
    shards: 1,
    run: async (test) => {
      const [first = "", second = "", third = ""] = await putMany(test, 3);
      test.clock.leap(60_000);
      const timestamp = test.clock.now();
      test.clock.leap(60_000);
      const [fourth = ""] = await putMany(test, 1);
      const positions: readonly (readonly [Checkpoint, readonly string[]])[] = [
        [TRIM_HORIZON, [first, second, third, fourth]],
        [{ kind: "timestamp", timestamp: 0 }, [first, second, third, fourth]],
        [{ kind: "timestamp", timestamp }, [fourth]],
        [{ kind: "sequence", sequenceNumber: first }, [second, third, fourth]],
        [{ kind: "sequence", sequenceNumber: third }, [fourth]],
        // A part of the second record is finished: it comes again.
        [{ kind: "sequence", sequenceNumber: second, subSequenceNumber: 0 }, [
          second,
          third,
          fourth,
        ]],
      ];
      for (const [after, expected] of positions) {
        const records = await take(test, expected.length, { after });
        assertEquals(records.map((record) => record.sequenceNumber), expected);
      }
    },
  },

  "a time that is still to come begins now": {
    shards: 1,
    run: async (test) => {
      await putMany(test, 2);
      const after: Checkpoint = { kind: "timestamp", timestamp: test.clock.now() + 5_000 };
      const batches = open(test, after);
      assertEquals((await batches.next()).value?.records, []);
      test.clock.leap(10_000);
      const [sequenceNumber] = await putMany(test, 1);
      const [record] = await takeFrom(batches, 1);
      assertEquals(record?.sequenceNumber, sequenceNumber);
      await batches.return?.();
    },
  },

  "a batch that is released has no records any more; what comes next is as before": {
    shards: 1,
    run: async (test) => {
      const [, second] = await putMany(test, 2);
      const batches = open(test, TRIM_HORIZON);
      let last: string | undefined;
      while (last !== second) {
        const { value: batch } = await batches.next();
        last = batch?.records.at(-1)?.sequenceNumber ?? last;
        batch?.release?.();
        if (batch?.release !== undefined) assertEquals(batch.records, []);
      }
      const puts = await putMany(test, 1);
      const records = await takeFrom(batches, 1);
      assertEquals(records.map((record) => record.sequenceNumber), puts);
      await batches.return?.();
    },
  },

  "a reader at the tip gets what is put later": {
    shards: 1,
    run: async (test) => {
      const batches = open(test, TRIM_HORIZON);
      const { value } = await batches.next();
      assertEquals([value?.records, value?.millisBehindLatest], [[], 0]);
      for (let round = 0; round < 3; round++) {
        const puts = await putMany(test, 2);
        const records = await takeFrom(batches, 2);
        assertEquals(records.map((record) => record.sequenceNumber), puts);
      }
      await batches.return?.();
    },
  },

  "with the least room that it asks for, a reader brings no more than that, and all in the end": {
    shards: 1,
    run: async (test) => {
      const puts = await putMany(test, 25);
      let room = 0;
      const budget: ReadBudget = {
        take: (wanted, { least }) => {
          assert(least <= wanted);
          room = least;
          return Promise.resolve(room);
        },
        giveBack: () => room = 0,
        mayComeInParts: false,
        turn: () => Promise.resolve(),
        keep: () => {},
      };
      const seen: string[] = [];
      for await (const batch of test.source.open(SHARD, TRIM_HORIZON, test.signal, budget)) {
        assert(heldBytesOf(batch.records) <= room, `${batch.records.length} records`);
        room = 0;
        seen.push(...batch.records.map((record) => record.sequenceNumber));
        if (seen.length >= 25) break;
      }
      assertEquals(seen, puts);
    },
  },

  "a shard that was split ends with its two children": {
    shards: 1,
    run: async (test) => {
      const before = await putMany(test, 12);
      await test.split(SHARD);
      await putMany(test, 4);
      await assertEndsWithChildren(test, SHARD, before);
      const children = (await listed(test)).filter((shard) => shard.parents.includes(SHARD));
      assertEquals(children.length, 2);
      let records = 0;
      for (const { id } of children) {
        assertEquals((await test.source.listShards(test.signal)).find(byId(id))?.isClosed, false);
        records += (await takeWhileBehind(test, id)).length;
      }
      assertEquals(records, 4);
    },
  },

  "shards that were merged end with one child": {
    shards: 2,
    run: async (test) => {
      const puts = new Map<string, string[]>();
      for (let i = 0; i < 20; i++) {
        const { shardId, sequenceNumber } = await test.put(`key-${i}`, new Uint8Array(1));
        puts.set(shardId, [...puts.get(shardId) ?? [], sequenceNumber]);
      }
      const [left = "", right = ""] = (await listed(test)).map((shard) => shard.id);
      await test.merge(left, right);
      for (const shardId of [left, right]) {
        await assertEndsWithChildren(test, shardId, puts.get(shardId) ?? []);
      }
      const [child] = (await listed(test)).filter((shard) => shard.parents.length === 2);
      assertEquals([...child?.parents ?? []].sort(), [left, right]);
      assertEquals(child?.hashKeyRange, { start: "0", end: String(2n ** 128n - 1n) });
    },
  },

  "a reader at the tip learns that its shard was closed": {
    shards: 1,
    run: async (test) => {
      const batches = open(test, TRIM_HORIZON);
      await batches.next();
      await test.split(SHARD);
      let batch = (await batches.next()).value as Batch;
      while (batch.end === undefined) batch = (await batches.next()).value as Batch;
      assertEquals(batch.end.children.length, 2);
      assertEquals(await batches.next(), { done: true, value: undefined });
    },
  },

  "after the end of a shard there is only an end": {
    shards: 1,
    run: async (test) => {
      const batches = open(test, SHARD_END);
      const { value } = await batches.next();
      assertEquals(value?.records, []);
      assert(value?.end !== undefined);
      assertEquals(await batches.next(), { done: true, value: undefined });
    },
  },

  "a shard that does not exist is missing": {
    shards: 1,
    run: async (test) => {
      const batches = open(test, TRIM_HORIZON, "shardId-000000000099");
      const error = await assertRejects(() => batches.next(), SourceError);
      assertEquals(error.kind, "missing");
    },
  },

  "an abort ends every call with the signal's reason": {
    shards: 1,
    run: async (test) => {
      await putMany(test, 3);
      const aborted = AbortSignal.abort(new RangeError("before"));
      await assertRejects(() => test.source.listShards(aborted), RangeError, "before");
      await assertRejects(() => open(test, TRIM_HORIZON, SHARD, aborted).next(), RangeError);
      // In the first read, and at the tip.
      for (const recordsBefore of [0, 3]) {
        const controller = new AbortController();
        const batches = open(test, TRIM_HORIZON, SHARD, controller.signal);
        await takeFrom(batches, recordsBefore);
        const pending = batches.next();
        controller.abort(new RangeError("during"));
        await assertRejects(() => pending, RangeError, "during");
        assertEquals(await batches.next(), { done: true, value: undefined });
      }
    },
  },
};

const SHARD = "shardId-000000000000";
const BATCHES_MAX = 1_000;

async function putMany(test: Case, count: number): Promise<string[]> {
  const puts: string[] = [];
  for (let i = 0; i < count; i++) {
    puts.push((await test.put(`key-${i}`, new TextEncoder().encode(`record ${i}`))).sequenceNumber);
  }
  return puts;
}

function open(
  test: Case,
  after: Checkpoint,
  shardId: string = SHARD,
  signal: AbortSignal = test.signal,
): AsyncIterator<Batch> {
  return test.source.open(shardId, after, signal)[Symbol.asyncIterator]();
}

async function take(
  test: Case,
  count: number,
  options: { readonly after?: Checkpoint } = {},
): Promise<SourceRecord[]> {
  const batches = open(test, options.after ?? TRIM_HORIZON);
  const records = await takeFrom(batches, count);
  await batches.return?.();
  return records;
}

async function takeFrom(batches: AsyncIterator<Batch>, count: number): Promise<SourceRecord[]> {
  const records: SourceRecord[] = [];
  for (let i = 0; i < BATCHES_MAX && records.length < count; i++) {
    const { value, done } = await batches.next();
    if (done) break;
    records.push(...value.records);
  }
  assertEquals(records.length, count);
  return records;
}

async function takeWhileBehind(test: Case, shardId: string): Promise<SourceRecord[]> {
  const batches = open(test, TRIM_HORIZON, shardId);
  const records: SourceRecord[] = [];
  for (let i = 0; i < BATCHES_MAX; i++) {
    const { value } = await batches.next();
    records.push(...value?.records ?? []);
    if (value?.millisBehindLatest === 0) break;
  }
  await batches.return?.();
  return records;
}

async function assertEndsWithChildren(
  test: Case,
  shardId: string,
  expected: readonly string[],
): Promise<void> {
  const batches: Batch[] = [];
  for await (const batch of test.source.open(shardId, TRIM_HORIZON, test.signal)) {
    batches.push(batch);
  }
  const records = batches.flatMap((batch) => batch.records);
  assertEquals(records.map((record) => record.sequenceNumber), [...expected]);
  assertEquals(batches.slice(0, -1).filter((batch) => batch.end !== undefined), []);
  const shards = await listed(test);
  const children = shards.filter((shard) => shard.parents.includes(shardId));
  const end = [...batches.at(-1)?.end?.children ?? []].sort(order);
  assertEquals(
    end.map((child) => ({ ...child, parents: [...child.parents].sort() })),
    children.map(({ isClosed: _, ...child }) => ({ ...child, parents: [...child.parents].sort() })),
  );
  assertEquals(shards.find(byId(shardId))?.isClosed, true);
}

async function listed(test: Case): Promise<ShardInfo[]> {
  return [...await test.source.listShards(test.signal)].sort(order);
}

function order(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

function byId(id: string): (shard: ShardInfo) => boolean {
  return (shard) => shard.id === id;
}

function text(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}
