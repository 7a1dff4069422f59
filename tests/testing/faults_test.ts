// Owns: what a user of the test kit may rely on when workers crash and calls fail.
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { KinesisRecord, RecordProcessor } from "@reacto/kinesix";
import { StoreError } from "@reacto/kinesix";
import { type Fault, type FaultRule, type PortCall, testKit } from "@reacto/kinesix/testing";

const nothing: RecordProcessor = { process: () => {} };
const numbers = (records: readonly KinesisRecord[]): readonly string[] =>
  records.map((record) => record.text());

/** A fault at one call. */
function at(operation: PortCall["operation"], number: number, fault: Fault): FaultRule {
  return (call) => call.operation === operation && call.number === number ? fault : undefined;
}

Deno.test("faults: who takes over from a worker that crashed starts after its checkpoint", async () => {
  await using kit = await testKit({ shards: 2, workers: 2, processor: nothing });
  await kit.advance(60_000);
  const [first, second] = kit.workers;
  assert(first !== undefined && second !== undefined);
  assertEquals([first.app.shards().length, second.app.shards().length], [1, 1]);
  for (let n = 0; n < 10; n++) kit.put(`key-${n}`, String(n));
  await kit.runUntilIdle();
  first.crash();
  const eventsOfFirst = kit.events.filter(({ workerId }) => workerId === first.workerId).length;
  for (let n = 10; n < 20; n++) kit.put(`key-${n}`, String(n));
  const crashedAt = kit.clock.monotonic();
  await kit.runUntilIdle();
  assert(kit.clock.monotonic() - crashedAt > 100_000, "the others notice after heartbeatTimeout");
  assertEquals(kit.processed.length, 20, "nothing twice, since all was checkpointed");
  assertEquals(kit.told("worker_lost").map(({ lostWorkerId }) => lostWorkerId), ["worker-1"]);
  const later = kit.events.filter(({ workerId }) => workerId === first.workerId).length;
  assertEquals([later, kit.workers.length], [eventsOfFirst, 1]);
});

Deno.test("faults: what a worker had in hand when it crashed does not count, and comes again", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  await using kit = await testKit({
    patience: 5,
    processor: {
      process: async (record, { workerId }) => {
        log.push(`${workerId} ${record.text()}`);
        if (workerId === "worker-1") await gate.promise;
      },
    },
  });
  kit.put("a", "1");
  kit.put("a", "2");
  await kit.advance(1_000);
  kit.workers[0]?.crash();
  gate.resolve();
  await kit.advance(1_000);
  assertEquals([log, kit.processed.length], [["worker-1 1"], 0]);
  await kit.addWorker();
  await kit.runUntilIdle();
  assertEquals(log, ["worker-1 1", "worker-2 1", "worker-2 2"]);
  assertEquals(numbers(kit.processed), ["1", "2"]);
});

Deno.test("faults: a worker can crash within its processor, whether that waits or not", async () => {
  for (const wait of [() => {}, () => Promise.resolve()]) {
    await using kit = await testKit({
      processor: {
        process: (record, { workerId }) => {
          if (record.text() === "2" && workerId === "worker-1") kit.workers[0]?.crash();
          return wait();
        },
      },
    });
    for (const n of ["1", "2", "3"]) kit.put("a", n);
    await kit.advance(1_000);
    assertEquals(numbers(kit.processed), ["1"]);
    await kit.addWorker();
    await kit.runUntilIdle();
    assertEquals(numbers(kit.processed).slice(-2), ["2", "3"]);
  }
});

Deno.test("faults: a worker that crashed starts nothing more and tells nothing more, whatever it was about to do", async () => {
  const log: string[] = [];
  await using kit = await testKit({
    processor: {
      process(record) {
        log.push(record.text());
        kit.workers[0]?.crash();
      },
    },
    config: { concurrency: 4 },
  });
  const { length } = kit.events;
  for (let n = 0; n < 20; n++) kit.put(`key-${n}`, String(n));
  await kit.advance(60_000);
  assertEquals([log.length, kit.events.length], [1, length]);
});

Deno.test("faults: the nth read fails, and no record is lost or comes twice", async () => {
  for (const fault of ["throttled", "unavailable", "replyLost"] as const) {
    await using kit = await testKit({ processor: nothing, faults: at("nextBatch", 2, fault) });
    for (let n = 0; n < 3; n++) {
      kit.put("a", String(n));
      await kit.runUntilIdle();
    }
    assertEquals(numbers(kit.processed), ["0", "1", "2"]);
    assertEquals(kit.told("read_failed").length, 1, fault);
  }
});

Deno.test("faults: a checkpoint whose reply is lost was written", async () => {
  const lost: PortCall[] = [];
  await using kit = await testKit({ processor: nothing });
  await kit.runUntilIdle();
  kit.faults = (call) => {
    if (call.operation !== "write" || call.rowKind !== "shard" || lost.length > 0) return undefined;
    lost.push(call);
    return "replyLost";
  };
  const { shardId, sequenceNumber } = kit.put("a", "1");
  await kit.runUntilIdle();
  assertEquals(lost.map(({ workerId, id }) => [workerId, id]), [["worker-1", shardId]]);
  assertEquals(kit.checkpoints, { [shardId]: sequenceNumber });
});

Deno.test("faults: a worker can crash before a write is made", async () => {
  await using kit = await testKit({ processor: nothing });
  await kit.runUntilIdle();
  kit.faults = ({ operation }) => void (operation === "write" && kit.workers[0]?.crash());
  const { shardId, sequenceNumber } = kit.put("a", "1");
  await kit.advance(60_000);
  assertEquals([kit.processed.length, kit.checkpoints], [1, { [shardId]: "TRIM_HORIZON" }]);
  kit.faults = undefined;
  await kit.addWorker();
  await kit.runUntilIdle();
  assertEquals([kit.processed.length, kit.checkpoints], [2, { [shardId]: sequenceNumber }]);
});

Deno.test("faults: a checkpoint that a crashed worker waits for does not hide what others do for real", async () => {
  const passed: number[] = [];
  await using kit = await testKit({
    config: { checkpointMode: "manual" },
    patience: 500,
    processor: {
      async process(_record, context) {
        const startedAt = kit.clock.monotonic();
        if (context.workerId === "worker-2") await new Promise((end) => setTimeout(end, 30));
        passed.push(kit.clock.monotonic() - startedAt);
        await context.checkpoint();
      },
    },
  });
  await kit.runUntilIdle();
  kit.faults = ({ operation }) => operation === "write" ? 1_000_000 : undefined;
  kit.put("a", "1");
  await kit.advance(1_000);
  kit.workers[0]?.crash();
  kit.faults = undefined;
  await kit.addWorker();
  await kit.runUntilIdle();
  assertEquals(passed, [0, 0]);
});

Deno.test("faults: a call that takes long takes virtual time", async () => {
  await using kit = await testKit({ processor: nothing, faults: at("nextBatch", 2, 7_000) });
  await kit.runUntilIdle();
  kit.put("a", "1");
  await kit.runUntilIdle();
  assert(kit.clock.monotonic() >= 7_000);
});

Deno.test("faults: a worker that cannot start says so, and another one can", async () => {
  const faults = at("prepare", 1, "unavailable");
  await using kit = await testKit({ processor: nothing, workers: 0, faults });
  await assertRejects(() => kit.addWorker(), StoreError, "prepare");
  kit.faults = undefined;
  await kit.addWorker();
  kit.put("a", "1");
  await kit.runUntilIdle();
  assertEquals(kit.processed.length, 1);
});
