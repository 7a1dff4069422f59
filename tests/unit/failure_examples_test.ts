// Owns: the examples of failure functions send the record as it is, and lose none that is too large.
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SNSClient } from "npm:@aws-sdk/client-sns@^3.1143.0";
import { SQSClient } from "npm:@aws-sdk/client-sqs@^3.1143.0";
import { snsFailures } from "../../examples/sns_failure.ts";
import { sqsFailures } from "../../examples/sqs_failure.ts";
import { CannedAws, sns, sqs, sqsReceipt } from "../docs/canned_aws.ts";
import { type FailedRecord, formatFailure, retryAndSkip } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { failedRecord } from "../failed_record.ts";

/** One whose text takes more bytes than characters. */
function failureOf(bytes: number): FailedRecord {
  return failedRecord({
    partitionKey: "kündin\ufffe",
    data: new Uint8Array(bytes).fill(255),
    error: new TypeError("bröken"),
  });
}

const { signal } = new AbortController();
const QUEUE = "http://127.0.0.1/123456789012/orders-failed";
const TOPIC = "arn:aws:sns:us-east-1:123456789012:orders-failed";

Deno.test("example: SQS is sent the failure record, with app and stream to route it by", async () => {
  await using server = sqs();
  using client = closing(new SQSClient(server.client));
  const failure = failureOf(1_000);
  await sqsFailures({ client: client.it, queueUrl: QUEUE })(failure, signal);
  const sent = server.bodies.map((body) => JSON.parse(body));
  assertEquals(sent, [{
    QueueUrl: QUEUE,
    MessageBody: formatFailure(failure),
    MessageAttributes: {
      app: { DataType: "String", StringValue: "billing" },
      stream: { DataType: "String", StringValue: "orders" },
    },
  }]);
});

Deno.test("example: SNS is sent the failure record, with app and stream to filter by", async () => {
  await using server = sns();
  using client = closing(new SNSClient(server.client));
  const failure = failureOf(1_000);
  await snsFailures({ client: client.it, topicArn: TOPIC })(failure, signal);
  const sent = new URLSearchParams(server.bodies.join());
  assertEquals(sent.get("Action"), "Publish");
  assertEquals(sent.get("TopicArn"), TOPIC);
  assertEquals(sent.get("Message"), formatFailure(failure));
  assertEquals(sent.get("MessageAttributes.entry.1.Name"), "app");
  assertEquals(sent.get("MessageAttributes.entry.2.Value.StringValue"), "orders");
});

Deno.test("example: a record that is too large goes elsewhere, or waits; it is not sent and not lost", async () => {
  await using queue = sqs();
  await using topic = sns();
  using sqsClient = closing(new SQSClient(queue.client));
  using snsClient = closing(new SNSClient(topic.client));
  const toQueue = { client: sqsClient.it, queueUrl: QUEUE };
  const toTopic = { client: snsClient.it, topicArn: TOPIC };
  const large = failureOf(200_000);
  const kept: FailedRecord[] = [];
  const tooLarge = (failure: FailedRecord): void => void kept.push(failure);
  const told = await assertRejects(async () => await sqsFailures(toQueue)(large, signal));
  assertStringIncludes(String(told), "raise its MaximumMessageSize");
  await assertRejects(
    async () => await snsFailures(toTopic)(large, signal),
    RangeError,
    "tooLarge",
  );
  await sqsFailures({ ...toQueue, tooLarge })(large, signal);
  await snsFailures({ ...toTopic, tooLarge })(large, signal);
  assertEquals(kept, [large, large]);
  assertEquals([queue.bodies, topic.bodies], [[], []]);
  await sqsFailures({ ...toQueue, messageBytesMax: 1_048_576 })(large, signal);
  assertEquals(queue.bodies.length, 1);
});

Deno.test("example: a queue that refuses is asked again, and the record is in it before it is passed", async () => {
  let refusals = 2;
  await using server = new CannedAws((body) => {
    if (refusals-- > 0) {
      return Response.json({ __type: "com.amazonaws.sqs#RequestThrottled" }, { status: 400 });
    }
    return sqsReceipt(body);
  });
  using client = closing(new SQSClient(server.client));
  const stream = new MemoryStream({ shards: 1 });
  stream.put("k", "poison");
  const told: string[] = [];
  const skipped = Promise.withResolvers<void>();
  const app = await ReactoKinesixApp.createNew({
    appName: "billing",
    streamName: "orders",
    processor: {
      process() {
        throw new TypeError("poison");
      },
      getErrorHandlingMode: () => retryAndSkip(0),
    },
    onFailure: sqsFailures({ client: client.it, queueUrl: QUEUE }),
    onEvent({ type }) {
      if (/put_aside|skipped/.test(type)) told.push(type);
      if (type === "record_skipped") skipped.resolve();
    },
    ports: { store: new MemoryLeaseStore(), source: stream },
  });
  await skipped.promise;
  await app.stop();
  assertEquals(told, [
    ...["put_aside_failed", "put_aside_failed", "record_put_aside", "record_skipped"],
  ]);
  assertEquals(server.bodies.length, 3);
});

function closing<C extends { destroy(): void }>(client: C): Disposable & { readonly it: C } {
  return { it: client, [Symbol.dispose]: () => client.destroy() };
}
