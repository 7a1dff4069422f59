// Proves that an app has one registered consumer: found again, registered when there is none, waited for, never left over.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SourceError } from "../../src/errors.ts";
import { CONSUMER, setUp } from "./fan_out_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

Deno.test("all shards of a worker share one consumer and one search for it", async () => {
  await using test = await setUp();
  await test.put(1);
  const one = test.open();
  assertEquals(await test.take(one, 1), ["record 0"]);
  await test.open().next();
  await test.open().next();
  assertEquals(test.consumers().map(({ ConsumerName }) => ConsumerName), [CONSUMER]);
  const operations = ["DescribeStreamSummary", "DescribeStreamConsumer", "RegisterStreamConsumer"];
  assertEquals(operations.map((operation) => test.calls(operation).length), [1, 1, 1]);
});

Deno.test("another worker, and the next start, find the consumer by its name", async () => {
  await using test = await setUp();
  await test.open().next();
  const registered = test.consumers();
  assertEquals(registered.length, 1);
  for (let start = 0; start < 3; start++) {
    test.clock.leap(10_000);
    const { signal } = new AbortController();
    const batches = test.makeSource().open(SHARD, { kind: "trimHorizon" }, signal);
    const iterator = batches[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.return?.(undefined);
  }
  assertEquals(test.consumers(), registered);
  assertEquals(test.calls("RegisterStreamConsumer").length, 1);
});

Deno.test("a consumer that is being created is waited for", async () => {
  await using test = await setUp({}, { transitionMs: 7_000 });
  const start = test.clock.now();
  await test.open().next();
  assert(test.clock.now() - start >= 7_000);
  assertEquals(test.calls("RegisterStreamConsumer").length, 1);
});

Deno.test("a consumer that is being deleted is waited out, and another one registered", async () => {
  await using test = await setUp({}, { transitionMs: 5_000 });
  await test.open().next();
  const [{ ConsumerARN = "" } = {}] = test.consumers();
  test.engine.call("DeregisterStreamConsumer", { ConsumerARN });
  const batches = test.makeSource().open(
    SHARD,
    { kind: "trimHorizon" },
    new AbortController().signal,
  );
  const iterator = batches[Symbol.asyncIterator]();
  await iterator.next();
  await iterator.return?.(undefined);
  assertEquals(test.consumers().length, 1);
  assert(test.consumers()[0]?.ConsumerARN !== ConsumerARN);
});

Deno.test("who registers a moment too late uses the consumer of the other worker", async () => {
  await using test = await setUp();
  await test.makeSource().open(SHARD, { kind: "trimHorizon" }, new AbortController().signal)
    [Symbol.asyncIterator]().next();
  test.clock.leap(10_000);
  // It sees none, and finds that there is one when it registers.
  test.fails("DescribeStreamConsumer", ["ResourceNotFoundException"]);
  await test.open().next();
  assertEquals(test.consumers().length, 1);
});

Deno.test("a consumer that was deregistered under a worker is registered anew, and nothing is lost", async () => {
  await using test = await setUp();
  await test.put(2);
  const batches = test.open();
  await test.take(batches, 2);
  const [{ ConsumerARN = "" } = {}] = test.consumers();
  test.engine.call("DeregisterStreamConsumer", { ConsumerARN });
  test.clock.leap(10_000);
  await test.put(2);
  assertEquals(await test.take(batches, 2), ["record 2", "record 3"]);
  assertEquals(test.consumers().length, 1);
});

Deno.test("a reader that leaves while it searches does not take the others along", async () => {
  await using test = await setUp({ maxKinesisRetries: 0 }, { transitionMs: 60_000 });
  const leaving = new AbortController();
  const first = assertRejects(() => test.open(undefined, leaving.signal).next(), RangeError, "bye");
  const second = test.open().next();
  await Promise.resolve();
  leaving.abort(new RangeError("bye"));
  await first;
  assertEquals((await second).value?.records, []);
  assertEquals(test.consumers().length, 1);
});

Deno.test("a stream with all the consumers that it may have is told by name, with the remedy", async () => {
  await using test = await setUp({ maxKinesisRetries: 0 });
  test.fails("RegisterStreamConsumer", ["LimitExceededException"]);
  const error = await assertRejects(() => test.open().next(), SourceError);
  assertEquals(
    error.message,
    `Cannot register consumer "${CONSUMER}" of stream "${STREAM}": Kinesis asks to slow down, or the ` +
      "stream has all the consumers that it may have; deregister one that is not used",
  );
});

Deno.test("a permission that is lacking is named", async () => {
  const operations = [
    "DescribeStreamSummary",
    "DescribeStreamConsumer",
    "RegisterStreamConsumer",
    "SubscribeToShard",
  ];
  for (const operation of operations) {
    await using test = await setUp();
    test.fails(operation, ["AccessDeniedException"]);
    const error = await assertRejects(
      () => test.open().next(),
      SourceError,
      `kinesis:${operation}`,
    );
    assertEquals(error.kind, "denied");
    // The next try begins afresh.
    await test.open().next();
  }
});
