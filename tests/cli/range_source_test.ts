// Owns: a stream that ends at a time: which records are in it, where shards end, how far they are, from where to go on.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { RangeSource } from "../../src/cli/range_source.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch, ShardInfo, SourceRecord, StreamSource } from "../../src/ports.ts";

const NOW = 1_000_000_000;
const TO = NOW - 1_000_000;
const FROM = TO - 1_000_000;
const SHARD: ShardInfo = { id: "s", parents: [], hashKeyRange: null, isClosed: false };
const TRIM_HORIZON: Checkpoint = { kind: "trimHorizon" };
const signal = new AbortController().signal;

function record(number: number, arrivedAt: number): SourceRecord {
  return {
    sequenceNumber: String(1_000_000 + number),
    partitionKey: "k",
    data: new Uint8Array(),
    approximateArrivalTimestamp: arrivedAt,
  };
}

/** A source that gives these batches, and then an error if one is given; it counts what is asked of it. */
function sourceOf(
  batches: readonly Batch[],
  options: { readonly error?: SourceError; readonly listed?: readonly ShardInfo[] } = {},
): StreamSource & { readonly asked: { batches: number } } {
  const asked = { batches: 0 };
  return {
    asked,
    listShards: () => Promise.resolve(options.listed ?? [SHARD]),
    async *open() {
      for (const batch of batches) {
        asked.batches += 1;
        yield await Promise.resolve(batch);
      }
      if (options.error !== undefined) throw options.error;
    },
  };
}

function rangeOf(source: StreamSource, from: number | undefined = FROM): RangeSource {
  return new RangeSource({ source, from, to: TO, now: () => NOW });
}

const read = (range: RangeSource): Promise<Batch[]> =>
  Array.fromAsync(range.open("s", TRIM_HORIZON, signal));
const numbers = (batches: readonly Batch[]): readonly number[] =>
  batches.flatMap(({ records }) =>
    records.map(({ sequenceNumber }) => Number(sequenceNumber) - 1_000_000)
  );

Deno.test("range: a shard ends with the first record well after it, and neighbours out of order are not lost", async () => {
  const source = sourceOf([
    { records: [record(0, FROM), record(1, TO - 1)], millisBehindLatest: 9_000 },
    { records: [record(2, TO), record(3, TO - 1), record(4, TO + 500)], millisBehindLatest: 8_000 },
    { records: [record(5, TO - 1), record(6, TO + 1_000)], millisBehindLatest: 7_000 },
    { records: [record(7, TO - 1)], millisBehindLatest: 6_000 },
  ].map((batch) => ({ ...batch, millisBehindLatest: NOW - TO })));
  const batches = await read(rangeOf(source));
  assertEquals(numbers(batches), [0, 1, 3, 5]);
  assertEquals(batches.map(({ end }) => end !== undefined), [false, false, true]);
  assertEquals(source.asked.batches, 3);
});

Deno.test("range: parts of a long read are not its end, however long they come after it", async () => {
  // The last record is an hour old, and nothing came after it: to be so far behind it says nothing about the time.
  const parts = [
    { records: [record(0, FROM)], millisBehindLatest: 2_000 },
    { records: [record(1, FROM + 1_000)], millisBehindLatest: 1_000 },
    { records: [record(2, FROM + 2_000)], millisBehindLatest: 0 },
  ];
  const batches = await read(rangeOf(sourceOf(parts)));
  assertEquals(numbers(batches), [0, 1, 2]);
  assertEquals(batches.map(({ end }) => end !== undefined), [false, false, true]);
});

Deno.test("range: a shard ends at its tip, at its end, and where an empty stretch has passed the range", async () => {
  const behind = { records: [], millisBehindLatest: NOW - TO };
  const ends: readonly Batch[] = [
    { records: [record(1, FROM)], millisBehindLatest: 0 },
    { records: [], millisBehindLatest: 5, end: { children: [{ ...SHARD, id: "child" }] } },
    { records: [], millisBehindLatest: NOW - TO - 300_000 },
  ];
  for (const last of ends) {
    const source = sourceOf([behind, last, behind]);
    const batches = await read(rangeOf(source));
    assertEquals(source.asked.batches, 2);
    assertEquals(batches.at(-1)?.end, { children: [] }, "its children are known from the list");
  }
});

Deno.test("range: its shards are those of the first look, and none takes more records", async () => {
  const listed = [SHARD];
  const range = rangeOf(sourceOf([], { listed }));
  assertEquals(await range.listShards(signal), [{ ...SHARD, isClosed: true }]);
  listed.push({ ...SHARD, id: "new" });
  assertEquals((await range.listShards(signal)).length, 1);
});

Deno.test("range: a shard that left the stream ends; one that is only out of reach does not", async () => {
  const missing = new SourceError("gone", { kind: "missing" });
  const gone = rangeOf(sourceOf([], { error: missing, listed: [] }));
  assertEquals((await read(gone)).map(({ end }) => end), [{ children: [] }]);
  await assertRejects(() => read(rangeOf(sourceOf([], { error: missing }))), SourceError, "gone");
  const denied = new SourceError("no", { kind: "denied" });
  await assertRejects(
    () => read(rangeOf(sourceOf([], { error: denied, listed: [] }))),
    SourceError,
  );
});

Deno.test("range: progress and the time to go on from never run ahead of the checkpoint", async () => {
  const arrivedAt = (i: number): number => FROM + i * 1_000;
  const records = Array.from({ length: 900 }, (_, i) => record(i, arrivedAt(i)));
  const half = { records: records.slice(0, 450), millisBehindLatest: NOW - TO };
  const rest = { records: records.slice(450), millisBehindLatest: 0 };
  const after = (i: number): Checkpoint => ({
    kind: "sequence",
    sequenceNumber: String(1_000_000 + i),
  });
  const range = rangeOf(sourceOf([half, half, rest]));
  await read(range);
  assertEquals(range.recordsOf("s"), 900, "what is read twice counts once");
  for (let i = 0; i < 900; i += 7) {
    const { share, records } = range.progress("s", after(i));
    assert(records <= i && records > i - 100, `${records} at ${i}`);
    assert(share <= i / 1_000 && share > (i - 100) / 1_000, `${share} at ${i}`);
    const time = range.timeOf("s", after(i)) ?? 0;
    assert(time < arrivedAt(i) && time > arrivedAt(i) - 102_000, `${time} at ${i}`);
  }
  assertEquals(range.progress("s", TRIM_HORIZON), { share: 0, records: 0 });
  assertEquals(range.timeOf("s", TRIM_HORIZON), undefined);
  assertEquals(range.timeOf("other", after(0)), undefined);
  const whole = rangeOf(sourceOf([half, rest]), undefined);
  await read(whole);
  assert(whole.progress("s", after(899)).share > 0.7, "the oldest record is the beginning");
});

Deno.test("range: where to go on from is known, however small the parts are in which it is read", async () => {
  const batches = Array.from({ length: 10_000 }, (_, i) => ({
    records: Array.from({ length: 5 }, (_, j) => record(5 * i + j, FROM + 5 * i + j)),
    millisBehindLatest: NOW - FROM - i,
  }));
  const range = rangeOf(sourceOf(batches));
  assertEquals(numbers(await read(range)).length, 50_000);
  // A key that is stuck holds the checkpoint back, and no other key.
  const stuck: Checkpoint = { kind: "sequence", sequenceNumber: String(1_000_000 + 7_000) };
  const at = range.timeOf("s", stuck);
  assert(at !== undefined && at <= FROM + 7_000 && at > FROM + 5_000, `${at}`);
});
