// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// Many records at once while those of each partition key stay in order, for a processor that mostly waits:
//   deno run -A examples/partition_key_concurrency.ts orders
import { delay } from "@std/async/delay";
import { ReactoKinesixApp, type RecordProcessor } from "@reacto/kinesix";

/** Stands for a call of an API that takes a tenth of a second. */
async function callApi(_body: string, signal: AbortSignal): Promise<void> {
  await delay(100, { signal });
}

const busy = new Set<string>();

const processor: RecordProcessor = {
  async process(record, { signal }) {
    const { partitionKey } = record;
    // Two records of one customer are never here at the same time: what is read and written for a customer needs no lock.
    if (busy.has(partitionKey)) throw new Error(`two records of ${partitionKey} at once`);
    busy.add(partitionKey);
    try {
      await callApi(record.text(), signal);
      console.log(`${partitionKey}: ${record.text()} (${busy.size} at once)`);
    } finally {
      busy.delete(partitionKey);
    }
  },
};

const [streamName = "orders"] = Deno.args;
await using app = await ReactoKinesixApp.createNew({
  appName: "PartitionKeys",
  streamName,
  processor,
  // For each shard. A stop finishes those in hand; what is done beyond a gap comes again, to the next owner.
  config: { concurrency: 16 },
});
Deno.addSignalListener("SIGINT", () => void app.stop());
await app.finished;
