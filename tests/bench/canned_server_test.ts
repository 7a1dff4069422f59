// Owns: what the canned server gives is what Kinesis would give: no record twice, none left out, wherever a reader begins.
import { GetRecordsCommand, GetShardIteratorCommand, KinesisClient } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { assert, assertEquals } from "@std/assert";
import { shardIdOf, startCannedServer, streamNameOf } from "../../bench/canned_server.ts";
import { decoded } from "../kpl.ts";

const SHAPE = { shards: 2, recordsPerShard: 25, recordBytes: 100, answerRecords: 10 };

function clientOf(url: string): KinesisClient {
  return new KinesisClient({
    endpoint: url,
    region: "us-east-1",
    credentials: { accessKeyId: "canned", secretAccessKey: "canned" },
    requestHandler: new NodeHttpHandler(),
  });
}

Deno.test("canned server: every record of a shard once, in order, by answers no longer than asked for", async () => {
  await using server = await startCannedServer();
  const client = clientOf(server.url);
  const StreamName = streamNameOf(SHAPE);
  const read = async (start: object): Promise<number[]> => {
    let { ShardIterator } = await client.send(
      new GetShardIteratorCommand({
        StreamName,
        ShardId: shardIdOf(1),
        ShardIteratorType: "TRIM_HORIZON",
        ...start,
      }),
    );
    const sizes: number[] = [];
    while (true) {
      const { Records = [], NextShardIterator, MillisBehindLatest } = await client.send(
        new GetRecordsCommand({ ShardIterator, Limit: sizes.length === 0 ? 4 : 10_000 }),
      );
      numbers.push(...Records.map(({ SequenceNumber = "" }) => SequenceNumber));
      assert(Records.every(({ Data }) => Data?.byteLength === SHAPE.recordBytes));
      sizes.push(Records.length);
      if (Records.length === 0) {
        assertEquals(MillisBehindLatest, 0);
        return sizes;
      }
      ShardIterator = NextShardIterator;
    }
  };
  let numbers: string[] = [];
  assertEquals(await read({}), [4, 10, 10, 1, 0]);
  assertEquals(numbers, numbers.toSorted());
  assertEquals(new Set(numbers).size, SHAPE.recordsPerShard);
  const [tenth = ""] = numbers.slice(9);
  const all = numbers;
  numbers = [];
  await read({ ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: tenth });
  assertEquals(numbers, all.slice(10));
  client.destroy();
});

Deno.test("canned server: packed records are aggregates", async () => {
  await using server = await startCannedServer();
  const client = clientOf(server.url);
  const { ShardIterator } = await client.send(
    new GetShardIteratorCommand({
      StreamName: streamNameOf({ ...SHAPE, packed: 3 }),
      ShardId: shardIdOf(0),
      ShardIteratorType: "TRIM_HORIZON",
    }),
  );
  const { Records = [] } = await client.send(new GetRecordsCommand({ ShardIterator, Limit: 1 }));
  const found = decoded(Records[0]?.Data?.subarray(4, -16) ?? new Uint8Array()) ?? [];
  assertEquals(found.map(({ data }) => data.byteLength), [100, 100, 100]);
  client.destroy();
});
