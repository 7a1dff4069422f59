// Owns: a loop that writes items with the checkpoint, while DynamoDB does not take them.
import { assertEquals } from "@std/assert";
import { StoreError } from "../../src/errors.ts";
import type { ProcessContext } from "../../src/processor.ts";
import type { MemoryLeaseStore } from "../../testing.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster } from "./app_testing.ts";
import { checkpointOf, startBatches, startRecords } from "./reader_testing.ts";

const WAYS = Object.entries({ records: startRecords, batches: startBatches });

/** A cluster of one shard whose transactions are throttled as often. */
function throttled(times: number): Cluster {
  const cluster = new Cluster(1);
  const { store } = cluster;
  let left = times;
  Object.assign(store, {
    transact: ((...sent) => {
      if (left-- > 0) throw new StoreError("Cannot write: a test", { kind: "throttled" });
      return store.table.transact(...sent);
    }) satisfies MemoryLeaseStore["transact"],
  });
  return cluster;
}

function write(context: ProcessContext): Promise<void> {
  return context.transact([{ Put: { TableName: "sink", Item: { id: { S: "1" } } } }]);
}

for (const [what, start] of WAYS) {
  Deno.test(`reader: ${what} whose items are not written at a stop are not finished, though the loop goes on`, async () => {
    const cluster = throttled(Infinity);
    cluster.put(1);
    const { reader, failures } = await start(cluster, "A");
    const loop = (async () => {
      for await (const { context } of reader) await write(context).catch(() => {});
    })();
    await settled();
    await cluster.clock.until(Promise.all([loop, reader.stop()]));
    assertEquals([await checkpointOf(cluster), failures()], [0, []]);
    const { holder } = await cluster.store.shard("shardId-000000000000");
    assertEquals(holder, null, "it was given up");
  });

  Deno.test(`reader: ${what} have not failed because DynamoDB takes nothing for longer than processTimeout`, async () => {
    const cluster = throttled(10);
    cluster.put(1);
    const { reader, failures } = await start(cluster, "A", { config: { processTimeout: 1_000 } });
    const loop = (async () => {
      for await (const { context } of reader) await write(context);
    })();
    await settled();
    await cluster.clock.advance(60_000);
    assertEquals([await checkpointOf(cluster), failures()], [1, []]);
    assertEquals(cluster.store.table.transacted.length, 1);
    await cluster.clock.until(Promise.all([loop, reader.stop()]));
  });
}
