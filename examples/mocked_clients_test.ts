// A test with AWS clients that are mocked, as you may have them for the rest of your code:
//   deno test --allow-env --allow-sys examples/mocked_clients_test.ts
// It shows how your code calls the app, and what it makes of an answer of AWS. To test what a processor does with records, crashes
// and retries, test_a_processor_test.ts is the better way: no answer has to be made up, and no time passes.
import {
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { mockClient } from "aws-sdk-client-mock";
import { assertEquals, assertRejects } from "@std/assert";
import { ReactoKinesixApp, SourceError } from "@reacto/kinesix";
import { MemoryLeaseStore } from "@reacto/kinesix/testing";

const ORDER = JSON.stringify({ id: "A-1", total: 12 });
const NAMES = { appName: "Billing", streamName: "orders" };
/** DynamoDB is not mocked: a table of conditional writes would be one more thing to get right. */
const store = (): { readonly store: MemoryLeaseStore } => ({ store: new MemoryLeaseStore() });

Deno.test("an order of the stream is billed", async () => {
  const kinesis = new KinesisClient({ region: "us-east-1" });
  const mock = mockClient(kinesis);
  mock.on(ListShardsCommand).resolves({
    Shards: [{
      ShardId: "shardId-000000000000",
      HashKeyRange: { StartingHashKey: "0", EndingHashKey: `${2n ** 128n - 1n}` },
      SequenceNumberRange: { StartingSequenceNumber: "49" },
    }],
  });
  mock.on(GetShardIteratorCommand).resolves({ ShardIterator: "first" });
  mock.on(GetRecordsCommand).resolves({ Records: [], NextShardIterator: "next" });
  mock.on(GetRecordsCommand, { ShardIterator: "first" }).resolves({
    Records: [{
      SequenceNumber: "50",
      PartitionKey: "customer-1",
      Data: new TextEncoder().encode(ORDER),
      ApproximateArrivalTimestamp: new Date(),
    }],
    NextShardIterator: "next",
    MillisBehindLatest: 0,
  });

  const billed = Promise.withResolvers<number>();
  await using _app = await ReactoKinesixApp.createNew({
    ...NAMES,
    kinesis, // The app uses it as it is, and does not close it.
    processor: { process: (record) => billed.resolve(record.json<{ total: number }>().total) },
    ports: store(),
  });
  assertEquals(await billed.promise, 12);
  assertEquals(mock.commandCalls(GetShardIteratorCommand)[0]?.args[0].input.StreamName, "orders");
});

Deno.test("a stream that may not be read is told as such", async () => {
  const kinesis = new KinesisClient({ region: "us-east-1" });
  const denied = Object.assign(new Error("not allowed"), { name: "AccessDeniedException" });
  mockClient(kinesis).on(ListShardsCommand).rejects(denied);
  const processor = { process() {} };
  const error = await assertRejects(
    () => ReactoKinesixApp.createNew({ ...NAMES, kinesis, processor, ports: store() }),
    SourceError,
  );
  assertEquals(error.kind, "denied");
});
