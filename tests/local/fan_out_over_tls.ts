// Reads every shard of a stream over TLS and prints how many records came: whom to trust is read when a process starts.
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { resolveConfig } from "../../src/core/config.ts";

const [kinesisEndpoint = ""] = Deno.args;
const credentials = { accessKeyId: "test", secretAccessKey: "test" };
const aws = connectAws({ region: "us-east-1", credentials, kinesisEndpoint });
const source = new KinesisFanOutSource({
  client: await aws.kinesis(),
  eventStreams: await aws.eventStreams(),
  streamName: "orders",
  consumerName: "billing",
  config: resolveConfig(),
  clock: systemClock,
  emit: () => {},
});
const { signal } = new AbortController();
// All are open at the same time.
const shards = await source.listShards(signal);
const counts = await Promise.all(shards.map(async ({ id }) => {
  const batches = source.open(id, { kind: "trimHorizon" }, signal);
  const { value } = await batches.next();
  return { batches, records: value?.records.length ?? 0 };
}));
for (const { batches } of counts) await batches.return(undefined);
const records = counts.reduce((sum, { records }) => sum + records, 0);
await Deno.stdout.write(new TextEncoder().encode(JSON.stringify({ records })));
aws.close();
