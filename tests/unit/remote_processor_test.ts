// Owns: which thread is asked what, with threads that only note it.
import { assertEquals } from "@std/assert";
import type { ProcessContext } from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { CheckpointRequests } from "../../src/sandbox/checkpoint_requests.ts";
import type { ProcessorThread, Task } from "../../src/sandbox/processor_thread.ts";
import { remoteProcessor } from "../../src/sandbox/remote_processor.ts";

const SHARD = "shardId-000000000000";

function recordOf(partitionKey: string): DeliveredRecord {
  const approximateArrivalTimestamp = 0;
  const data = new Uint8Array();
  return new DeliveredRecord(SHARD, {
    ...{ sequenceNumber: "1", partitionKey, data, approximateArrivalTimestamp },
  });
}

function contextOf(term: number, signal: AbortSignal): ProcessContext {
  return {
    ...{ shardId: SHARD, workerId: "A", streamName: "orders", attempt: 1, millisBehindLatest: 0 },
    ...{ term, signal, checkpoint: () => Promise.resolve(), transact: () => Promise.resolve() },
  };
}

Deno.test("remote processor: the end of a shard is told where its turn had records, once, and once at least", async () => {
  const asked: string[] = [];
  const threads = ["one", "two"].map((name) => ({
    call({ makeWork }: Task) {
      asked.push(`${name} ${makeWork(threads[0] as never).kind}`);
      return Promise.resolve({ value: 1 });
    },
  })) as unknown as readonly ProcessorThread[];
  const checkpoints = new CheckpointRequests("auto");
  const processor = remoteProcessor({ threads, number: 0, lanes: 2, checkpoints }, [
    "process",
    "shardEnded",
  ]);
  const endOf = async (term: number, keys: readonly string[]): Promise<readonly string[]> => {
    const { signal } = new AbortController();
    for (const key of keys) await processor.process?.(recordOf(key), contextOf(term, signal));
    asked.length = 0;
    await processor.shardEnded?.(contextOf(term, signal));
    return [...asked];
  };
  const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`);
  assertEquals((await endOf(1, keys)).toSorted(), ["one shardEnded", "two shardEnded"]);
  const { signal } = new AbortController();
  for (const key of keys) await processor.process?.(recordOf(key), contextOf(2, signal));
  // The shard was lost in that turn, and comes back.
  assertEquals(await endOf(3, []), ["one shardEnded"]);
});
