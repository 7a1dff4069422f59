import { assert, assertEquals } from "@std/assert";
import { sourceProgram } from "../cli/cli_testing.ts";
import { attributesOf, OtlpReceiver, valueOf } from "./otlp_receiver.ts";
import { APP, eventually, hasTold, Stack, STREAM } from "./stack.ts";

const FAILS_ONCE = `(record, { attempt }) => {
  if (record.text() === "odd" && attempt === 1) throw new TypeError("odd");
}`;

Deno.test("OpenTelemetry: Deno exports metrics and a span for each batch to a collector", async () => {
  await using receiver = new OtlpReceiver();
  await using stack = await Stack.start(2);
  await using worker = stack.worker("w1", FAILS_ONCE, {
    program: sourceProgram(),
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "300",
      OTEL_BSP_SCHEDULE_DELAY: "300",
      OTEL_DENO_CONSOLE: "ignore",
    },
  });
  await worker.until(hasTold("shard_claimed", 2));
  stack.put([...Array(9).fill("even"), "odd"]);
  const records = () => receiver.metrics.get("kinesix.records");
  await eventually(
    () => valueOf(records()?.sum?.dataPoints[0]),
    // On a busy machine a shard may be lost, and its records come again.
    (count) => count >= 10,
    15_000,
  );
  assertEquals(records()?.sum?.isMonotonic, true);
  const own = attributesOf(records()?.sum?.dataPoints[0]?.attributes ?? []);
  assertEquals(own, { "kinesix.app": APP, "aws.kinesis.stream_name": STREAM });
  const lag = receiver.metrics.get("kinesix.shard.lag");
  assertEquals([lag?.unit, lag?.gauge?.dataPoints.length], ["s", 2]);
  const shards = lag?.gauge?.dataPoints.map(({ attributes }) => attributesOf(attributes).shard);
  assertEquals(shards?.toSorted(), ["shardId-000000000000", "shardId-000000000001"]);
  assert(valueOf(receiver.metrics.get("kinesix.heartbeat_age")?.gauge?.dataPoints[0]) < 2);
  assert(valueOf(receiver.metrics.get("kinesix.failures")?.sum?.dataPoints[0]) >= 1);
  await eventually(
    () => Number(receiver.metrics.get("kinesix.process_time")?.histogram?.dataPoints[0]?.count),
    (batches) => batches >= 2, // each shard had one
    10_000,
  );

  const spans = await eventually(
    () => receiver.spans,
    (spans) =>
      spans.reduce(
        (sum, { attributes }) =>
          sum + Number(attributesOf(attributes)["messaging.batch.message_count"]),
        0,
      ) >= 10,
    10_000,
  );
  const failing = spans.filter(({ events }) => events.length > 0);
  assert(failing.length >= 1);
  const [event] = failing[0]?.events ?? [];
  assertEquals(event?.name, "attempt_failed");
  assertEquals(attributesOf(event?.attributes ?? [])["exception.type"], "TypeError");
  for (const { name, attributes, startTimeUnixNano, endTimeUnixNano } of spans) {
    assertEquals(name, `process ${STREAM}`);
    assertEquals(attributesOf(attributes)["messaging.system"], "aws.kinesis");
    const ns = BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano);
    assert(ns >= 0n && ns < 5_000_000_000n, `${ns} ns`);
  }
  worker.kill("SIGTERM");
  assertEquals(await worker.ended(), 0);
});
