// Owns: which failure destinations are accepted, and what the file and the stream do with a record.
import {
  DescribeStreamSummaryCommand,
  KinesisClient,
  PutRecordCommand,
  ResourceNotFoundException,
} from "@aws-sdk/client-kinesis";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mockClient } from "aws-sdk-client-mock";
import { checkOnFailure, openFailureDestination } from "../../src/adapters/failure_destination.ts";
import { formatFailure, parseFailure } from "../../src/adapters/failure_format.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import { retryAndSkip } from "../../src/core/policy.ts";
import { SourceError } from "../../src/errors.ts";
import { failedRecord } from "../failed_record.ts";

const { signal } = new AbortController();

function clientOf(): KinesisClient {
  const credentials = { accessKeyId: "x", secretAccessKey: "x" };
  return new KinesisClient({ region: "us-east-1", credentials });
}

Deno.test("failure destination: a file, another stream or a function; all else is refused by name", () => {
  assertEquals(checkOnFailure(undefined, "orders"), { kind: "nowhere" });
  assertEquals(checkOnFailure("kinesis:failed", "orders"), {
    kind: "stream",
    streamName: "failed",
  });
  assertThrows(
    () => checkOnFailure("kinesis:orders", "orders"),
    RangeError,
    "that is the stream that is processed",
  );
  for (const wrong of ["", "failed", "s3://x", "kinesis:", 7, null, {}, ["file:x"]]) {
    assertThrows(
      () => checkOnFailure(wrong, "orders"),
      TypeError,
      "it must be file:PATH or kinesis:STREAM, or a function",
    );
  }
});

Deno.test("failure destination: a file that cannot be written is refused at the start, with the remedy", async () => {
  const start = ReactoKinesixApp.createNew({
    appName: "A",
    streamName: "S",
    processor: { process() {} },
    onFailure: "file:/no/such/folder/failures.jsonl",
    ports: { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 1 }) },
  });
  await assertRejects(() => start, Error, "its folder must be there");
});

Deno.test("failure destination: a stream that is not there is refused at the start; one that does not answer is not", async () => {
  const options = { kinesis: clientOf() };
  const mock = mockClient(options.kinesis);
  const place = checkOnFailure("kinesis:failed", "orders");
  const denied = Object.assign(new Error("no"), { name: "AccessDeniedException" });
  mock.on(DescribeStreamSummaryCommand).rejectsOnce(denied).rejectsOnce(new Error("no answer"))
    .rejects(new ResourceNotFoundException({ message: "none", $metadata: {} }));
  for (let i = 0; i < 2; i++) {
    const { destination } = await openFailureDestination(place, options);
    assertEquals(destination?.name, "kinesis:failed");
  }
  const error = await assertRejects(() => openFailureDestination(place, options), SourceError);
  assertEquals(error.kind, "missing");
});

Deno.test("failure destination: a stream gets the failure record under the key of the record", async () => {
  const options = { kinesis: clientOf() };
  const mock = mockClient(options.kinesis);
  mock.on(PutRecordCommand).resolves({});
  const place = checkOnFailure("kinesis:failed", "orders");
  const { destination } = await openFailureDestination(place, options);
  const failure = failedRecord({ data: new Uint8Array(1_000).fill(255) });
  await destination?.put(failure, signal);
  const [call] = mock.commandCalls(PutRecordCommand);
  const { StreamName, PartitionKey, Data } = call?.args[0].input ?? {};
  assertEquals([StreamName, PartitionKey], ["failed", "customer-1"]);
  assertEquals(parseFailure(new TextDecoder().decode(Data)), parseFailure(formatFailure(failure)));
});

Deno.test("failure destination: a key that only an aggregate takes does not keep a record from the stream", async () => {
  const options = { kinesis: clientOf() };
  const mock = mockClient(options.kinesis);
  mock.on(PutRecordCommand).resolves({});
  const place = checkOnFailure("kinesis:failed", "orders");
  const { destination } = await openFailureDestination(place, options);
  for (const partitionKey of ["", "k".repeat(257), "k".repeat(256)]) {
    await destination?.put(failedRecord({ partitionKey }), signal);
  }
  const { sequenceNumber } = failedRecord();
  const inputs = mock.commandCalls(PutRecordCommand).map(({ args: [{ input }] }) => input);
  const keys = inputs.map(({ PartitionKey }) => PartitionKey);
  assertEquals(keys, [sequenceNumber, sequenceNumber, "k".repeat(256)]);
  const records = inputs.map(({ Data }) => parseFailure(new TextDecoder().decode(Data)));
  assertEquals(records.map((stored) => typeof stored === "object" && stored.partitionKey.length), [
    0,
    257,
    256,
  ]);
});

Deno.test("failure destination: a stream that does not take it fails, and says why and what to do", async () => {
  const options = { kinesis: clientOf() };
  const mock = mockClient(options.kinesis);
  const invalid = Object.assign(new Error("1 validation error"), {
    name: "ValidationException",
    $metadata: { httpStatusCode: 400 },
  });
  const slow = Object.assign(new Error("slow"), { name: "ProvisionedThroughputExceededException" });
  mock.on(PutRecordCommand).rejectsOnce(slow).rejects(invalid);
  const place = checkOnFailure("kinesis:failed", "orders");
  const { destination } = await openFailureDestination(place, options);
  const put = async (bytes: number): Promise<void> => {
    await destination?.put(failedRecord({ data: new Uint8Array(bytes).fill(255) }), signal);
  };
  await assertRejects(() => put(1), SourceError, "asks to slow down (kinesis:PutRecord)");
  await assertRejects(() => put(800_000), SourceError, "aws kinesis update-max-record-size");
  const small = await assertRejects(() => put(1_000), SourceError);
  assert(!small.message.includes("update-max-record-size"));
  // What no stream takes is not even sent.
  const calls = mock.calls().length;
  await assertRejects(() => put(8 * 1024 * 1024), SourceError, "use file: or a function");
  assertEquals(mock.calls().length, calls);
});

Deno.test("failure destination: a record that fails for good is in the file, whole, and the app goes on", async () => {
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  const stream = new MemoryStream({ shards: 1 });
  const bytes = new Uint8Array([0, 1, 254, 255]);
  stream.put("k", bytes);
  stream.put("k", "good");
  const good = Promise.withResolvers<void>();
  const app = await ReactoKinesixApp.createNew({
    appName: "A",
    streamName: "S",
    workerId: "W",
    processor: {
      process(record) {
        if (record.data[0] === 0) throw new TypeError("poison");
        good.resolve();
      },
      getErrorHandlingMode: () => retryAndSkip(0),
    },
    onFailure: `file:${path}`,
    ports: { store: new MemoryLeaseStore(), source: stream },
  });
  await good.promise;
  await app.stop();
  const [line = "", ...more] = (await Deno.readTextFile(path)).split("\n");
  assertEquals(more, [""]);
  const failure = parseFailure(line);
  assert(typeof failure === "object");
  assertEquals([failure.data, failure.partitionKey, failure.appName], [bytes, "k", "A"]);
  assertEquals(failure.error, { name: "TypeError", message: "poison" });
  await Deno.remove(path);
});
