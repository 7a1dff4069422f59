// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// A consumer in a few lines, on AWS or on the local stack:
//   deno task local --stream orders --shards 4
//   deno run -A examples/hello.ts http://127.0.0.1:4567 http://127.0.0.1:8000
import { type AwsOptions, ReactoKinesixApp } from "@reacto/kinesix";

const [kinesisEndpoint, dynamoDBEndpoint] = Deno.args;
const local: AwsOptions = kinesisEndpoint && dynamoDBEndpoint
  ? {
    kinesisEndpoint,
    dynamoDBEndpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  }
  : {};

await using app = await ReactoKinesixApp.createNew({
  ...local,
  appName: "Hello",
  streamName: "orders",
  processor: {
    process: (record, { shardId }) => console.log(shardId, record.partitionKey, record.text()),
  },
});
app.addEventListener("shard_claimed", ({ shardId, from }) => console.log("took", shardId, from));
Deno.addSignalListener("SIGINT", () => void app.stop());
await app.finished;
