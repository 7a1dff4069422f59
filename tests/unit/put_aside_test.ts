// Owns: a record that is given up is in the failure destination before anything passes it, and waits until it is.
import { assert, assertEquals } from "@std/assert";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import type { FailedRecord, FailureDestination } from "../../src/ports.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import type { RecordRunnerDeps } from "../../src/runtime/record_runner.ts";
import { settled } from "../virtual_clock.ts";
import { at, batch, type Running, running } from "./runner_testing.ts";

/** A destination that does as told, and keeps what it is given. */
class Box implements FailureDestination {
  readonly name = "box";
  readonly failures: FailedRecord[] = [];
  readonly signals: AbortSignal[] = [];
  /** What is awaited before it takes a record. */
  before: (failure: FailedRecord) => unknown = () => {};

  async put(failure: FailedRecord, signal: AbortSignal): Promise<void> {
    this.signals.push(signal);
    await this.before(failure);
    this.failures.push(failure);
  }

  get numbers(): readonly string[] {
    return this.failures.map(({ sequenceNumber }) => sequenceNumber);
  }
}

const BROKEN = new TypeError("broken");

function boxed(
  box: Box,
  broken: readonly number[],
  more: RecordProcessor = {},
  options: Partial<RecordRunnerDeps> = {},
): Promise<Running> {
  const process: RecordProcessor["process"] = (record) => {
    if (broken.includes(Number(record.text()))) throw BROKEN;
  };
  const mode = { getErrorHandlingMode: () => retryAndSkip(1) };
  const processor = more.processBatch === undefined ? { process } : {};
  return running({ ...processor, ...mode, ...more }, {
    failureDestination: box,
    appName: "billing",
    ...options,
  });
}

Deno.test("put aside: the whole record, with its error and how it came to that", async () => {
  const box = new Box();
  const { bench, runner, lease } = await boxed(box, [2]);
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(lease.position, at(3));
  const [failure] = box.failures;
  assertEquals(failure, {
    appName: "billing",
    streamName: "orders",
    shardId: "s",
    sequenceNumber: "2",
    subSequenceNumber: undefined,
    partitionKey: "key 2",
    data: new TextEncoder().encode("2"),
    approximateArrivalTimestamp: new Date(1_000),
    error: BROKEN,
    attempts: 2,
    mode: retryAndSkip(1),
    workerId: "A",
    time: new Date(bench.clock.now()),
  });
  assert(failure?.error === BROKEN);
  assertEquals(bench.told("record_put_aside"), [
    { type: "record_put_aside", shardId: "s", sequenceNumber: "2", destination: "box" },
  ]);
});

Deno.test("put aside: before onMaxRetryExceeded, the skip, the next record and the checkpoint", async () => {
  const box = new Box();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  box.before = () => gate.promise.finally(() => log.push("put"));
  const { bench, runner, lease } = await boxed(box, [], {
    process(record) {
      log.push(record.text());
      if (record.text() === "2") throw BROKEN;
    },
    getErrorHandlingMode: () => retryAndSkip(0),
    onMaxRetryExceeded: () => void log.push("told"),
  });
  const run = runner.run(batch(1, 3));
  await settled();
  assertEquals(log, ["1", "2"]);
  assertEquals(lease.position, at(1));
  assertEquals((await bench.store.shard("s")).checkpoint, at(1));
  assertEquals(bench.told("record_skipped"), []);
  gate.resolve();
  await bench.clock.until(run);
  assertEquals(log, ["1", "2", "put", "told", "3"]);
});

Deno.test("put aside: a destination that fails is tried again, ever more seldom, and the record waits", async () => {
  const box = new Box();
  let failures = 12;
  box.before = () => {
    if (failures-- > 0) throw new Error("the disk is full");
  };
  const { bench, runner, lease } = await boxed(box, [2]);
  const run = runner.run(batch(1, 3));
  await bench.clock.advance(60_000);
  assertEquals(lease.position, at(1));
  assertEquals(await bench.clock.until(run), "done");
  assertEquals([box.numbers, lease.position], [["2"], at(3)]);
  const told = bench.told("put_aside_failed");
  assertEquals(told.map(({ attempt }) => attempt), Array.from({ length: 12 }, (_, i) => i + 1));
  assertEquals(told[0]?.error, { name: "Error", message: "the disk is full" });
  for (const { attempt, retryInMs } of told) {
    const full = Math.min(30_000, 200 * 2 ** (attempt - 1));
    assert(retryInMs >= full / 2 && retryInMs <= full, `${retryInMs} after attempt ${attempt}`);
  }
});

Deno.test("put aside: a destination that does not answer has failed after a minute", async () => {
  const box = new Box();
  box.before = () => box.signals.length === 1 ? new Promise(() => {}) : undefined;
  const { bench, runner } = await boxed(box, [1]);
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
  assertEquals(box.signals.map(({ aborted }) => aborted), [true, false]);
  assertEquals(bench.told("put_aside_failed").length, 1);
});

Deno.test("put aside: a destination that throws at once, or what is no error, is no defect", async () => {
  let calls = 0;
  const destination: FailureDestination = {
    name: "function",
    put() {
      calls += 1;
      if (calls === 1) throw new Error("at once");
      return calls === 2 ? Promise.reject(null) : undefined;
    },
  };
  const { bench, runner, lease } = await boxed(new Box(), [1], {}, {
    failureDestination: destination,
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
  assertEquals([calls, lease.position], [3, at(1)]);
});

Deno.test("put aside: when the shard is to be given up first, the record is not finished, and nobody is told", async () => {
  const box = new Box();
  const told: string[] = [];
  box.before = () => {
    throw new Error("down");
  };
  const { bench, runner, lease, drain } = await boxed(box, [2], {
    onMaxRetryExceeded: (record) => void told.push(record.text()),
  });
  const run = runner.run(batch(1, 3));
  await bench.clock.advance(10_000);
  drain.abort();
  assertEquals(await bench.clock.until(run), "drained");
  assertEquals(lease.position, at(1));
  assertEquals([told, bench.told("record_skipped")], [[], []]);
});

Deno.test("put aside: what is under way when the shard is to be given up is finished", async () => {
  const box = new Box();
  const gate = Promise.withResolvers<void>();
  box.before = () => gate.promise;
  const { bench, runner, lease, drain } = await boxed(box, [2]);
  const run = runner.run(batch(1, 3));
  await bench.clock.advance(1_000);
  drain.abort();
  gate.resolve();
  assertEquals(await bench.clock.until(run), "drained");
  assertEquals([box.numbers, lease.position], [["2"], at(2)]);
});

Deno.test("put aside: a lost shard ends the wait, and what comes of it does not count", async () => {
  const box = new Box();
  box.before = () => new Promise(() => {});
  const { bench, runner, lease } = await boxed(box, [2]);
  const run = runner.run(batch(1, 3));
  await bench.clock.advance(1_000);
  lease.lose("the test says so");
  assert(box.signals[0]?.aborted);
  assertEquals(await bench.clock.until(run), "lost");
  assertEquals([bench.told("record_skipped"), bench.told("put_aside_failed")], [[], []]);
});

Deno.test("put aside: a record that stops its shard is not: it is not passed", async () => {
  const box = new Box();
  const { bench, runner, lease } = await boxed(box, [2], {
    getErrorHandlingMode: () => retryAndStop(1),
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "recordFailed");
  assertEquals([box.numbers, lease.position], [[], at(1)]);
});

Deno.test("put aside: each record of a batch by itself, and those that are there are behind it", async () => {
  const box = new Box();
  box.before = ({ sequenceNumber }) => {
    if (sequenceNumber === "3") throw new Error("full");
  };
  const processBatch = (): never => {
    throw BROKEN;
  };
  const { bench, runner, lease, drain } = await boxed(box, [], { processBatch });
  const run = runner.run(batch(1, 4));
  await bench.clock.advance(10_000);
  // The two are not put aside again by the next owner, however long the third one waits.
  assertEquals([box.numbers, lease.position], [["1", "2"], at(2)]);
  drain.abort();
  assertEquals(await bench.clock.until(run), "drained");
  assertEquals(lease.position, at(2));
  assertEquals(bench.told("record_skipped").map(({ sequenceNumber }) => sequenceNumber), [
    "1",
    "2",
  ]);
});

Deno.test("put aside: other keys go on while one waits for its destination", async () => {
  const box = new Box();
  const gate = Promise.withResolvers<void>();
  box.before = () => gate.promise;
  const { bench, runner, lease } = await boxed(box, [1], {}, { concurrency: 8 });
  const processed = runner.run(batch(1, 20)).then(() => runner.settled());
  await bench.clock.advance(1_000);
  assertEquals(lease.position, { kind: "trimHorizon" });
  gate.resolve();
  assertEquals(await bench.clock.until(processed), "done");
  assertEquals([box.numbers, lease.position], [["1"], at(20)]);
});
