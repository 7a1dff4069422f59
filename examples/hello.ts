// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// A consumer in a few lines, on AWS or on the local stack:
//   deno run -A examples/hello.ts orders
import { ReactoKinesixApp } from "@reacto/kinesix";

const [streamName = "orders"] = Deno.args;
await using app = await ReactoKinesixApp.createNew({
  appName: "Hello",
  streamName,
  processor: {
    process: (record, { shardId }) => console.log(shardId, record.partitionKey, record.text()),
  },
});
app.addEventListener("shard_claimed", ({ shardId, from }) => console.log("took", shardId, from));
Deno.addSignalListener("SIGINT", () => void app.stop());
await app.finished;
