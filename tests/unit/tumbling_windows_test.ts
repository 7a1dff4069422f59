// Proves that windows begin only where it is known whose they are, and that where a read ends decides nothing about them.
import { assertEquals, assertThrows } from "@std/assert";
import { ReactoKinesixApp } from "../../src/app.ts";
import type { Batch, SourceRecord, StreamSource } from "../../src/ports.ts";
import type { HashKeyRange, ShardBeginning, StatefulProcessor } from "../../src/processor.ts";
import { processContext, record } from "../../src/testing/records.ts";
import { tumblingWindows } from "../../src/windows/tumbling_windows.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster } from "./app_testing.ts";

const factory = tumblingWindows({ size: "1m", initial: () => 0, add: (n) => n + 1, close() {} });

function made(): StatefulProcessor {
  return factory("shard") as StatefulProcessor;
}

function beginning(
  child: HashKeyRange | null,
  parent: HashKeyRange | null,
  isMerged = false,
): ShardBeginning {
  const parents = [{ shardId: "parent", hashKeyRange: parent, state: made().snapshot() ?? "" }];
  return { shardId: "child", hashKeyRange: child, state: null, parents, isMerged };
}

Deno.test("windows: of a shard that was split they are refused by a child whose part nobody knows", () => {
  const whole = { start: "0", end: "9" };
  for (const [child, parent] of [[null, whole], [whole, null], [null, null]] as const) {
    const error = assertThrows(() => made().begin(beginning(child, parent)), Error, "hashKeyRange");
    assertEquals(error.message.includes('shard "parent" in shard "child"'), true);
    // Of two that were merged it gets all.
    made().begin(beginning(child, parent, true));
  }
  made().begin(beginning({ start: "0", end: "4" }, whole));
});

/** Reads of a shard, each with the seconds at which its records arrived; those below zero are filtered out. */
type Reads = readonly (readonly number[])[];

/** Counts records by the minute, and writes down what each window had. */
function countingWindows(closed: string[]) {
  return tumblingWindows({
    size: "1m",
    initial: () => 0,
    add: (count) => count + 1,
    close: ({ id, state }) => void closed.push(`${id} has ${state}`),
  });
}

/** The windows that are closed when a shard is read so. */
async function closedBy(reads: Reads): Promise<readonly string[]> {
  const closed: string[] = [];
  const processor = countingWindows(closed)("shard") as StatefulProcessor;
  processor.begin({
    ...{ shardId: "shard", hashKeyRange: null, state: null, parents: [], isMerged: false },
  });
  const context = processContext();
  let number = 0;
  for (const [index, read] of reads.entries()) {
    for (const second of read) {
      const sequenceNumber = String(++number);
      if (second < 0) continue;
      const approximateArrivalTimestamp = new Date(second * 1_000);
      await processor.process?.(record({ sequenceNumber, approximateArrivalTimestamp }), context);
    }
    const latestArrival = Math.max(...read.map(Math.abs)) * 1_000;
    const at = { askedAt: index * 100, arrivedAt: index * 100 };
    await processor.finishedRead({ latestArrival, ...at, isAtTip: false, isLast: false }, context);
  }
  return closed;
}

Deno.test("windows: where a read ends does not decide which record is late, also when others are filtered out", async () => {
  // The arrivals of a shard are not in order.
  const whole = await closedBy([[-61, 59], [200]]);
  assertEquals(whole, ["shard/1970-01-01T00:00:00.000Z/1m has 1"]);
  assertEquals(await closedBy([[-61], [59], [200]]), whole);
  // What is open is over as soon as a record that is filtered out says so.
  assertEquals(await closedBy([[30], [-61]]), whole);
});

/** A shard that is far behind its tip: reads with a record each, which are empty once they were taken out. */
function readsOf(seconds: readonly number[]): StreamSource {
  return {
    listShards: () =>
      Promise.resolve([{ id: "shard", parents: [], hashKeyRange: null, isClosed: false }]),
    async *open(_shardId, _after, signal) {
      for (const [index, second] of seconds.entries()) {
        const read: SourceRecord = {
          sequenceNumber: String(index + 1),
          partitionKey: "key",
          data: new Uint8Array([second]),
          approximateArrivalTimestamp: second * 1_000,
        };
        const batch: { -readonly [K in keyof Batch]: Batch[K] } = {
          records: [read],
          millisBehindLatest: 3_600_000,
          release: () => batch.records = [],
        };
        yield batch;
      }
      await new Promise<void>((resolve) =>
        signal.addEventListener("abort", () => resolve(), { once: true })
      );
    },
  };
}

Deno.test("windows: a record that is filtered out closes what is over, though its read was let go of", async () => {
  await using cluster = new Cluster(1);
  const closed: string[] = [];
  const processor = countingWindows(closed);
  const options = cluster.options("A", processor, {
    filter: ({ data }) => data[0] !== 61,
    ports: { source: readsOf([30, 61]) },
  });
  const app = await cluster.clock.until(ReactoKinesixApp.createNew(options));
  await settled();
  assertEquals(closed, ["shard/1970-01-01T00:00:00.000Z/1m has 1"]);
  await cluster.clock.until(app.stop());
});

Deno.test("windows: a read that changes nothing is not written down again", async () => {
  const processor = made();
  processor.begin(beginning(null, null, true));
  await processor.process?.(record(), processContext());
  const stringify = JSON.stringify;
  let written = 0;
  JSON.stringify = (...args: readonly unknown[]): string => {
    written += 1;
    return stringify(...args as Parameters<typeof stringify>);
  };
  try {
    const { approximateArrivalTimestamp } = record();
    const latestArrival = approximateArrivalTimestamp.getTime() + 1;
    for (let at = 0; at < 5; at++) {
      const read = { latestArrival, askedAt: at, arrivedAt: at, isAtTip: false, isLast: false };
      assertEquals(await processor.finishedRead(read, processContext()), false);
    }
    assertEquals(written, 1);
  } finally {
    JSON.stringify = stringify;
  }
});
