// Owns: several records of a shard at the same time in a whole worker: the end of a shard, a stop, a read that fails.
import { assert, assertEquals } from "@std/assert";
import { retryAndStop } from "../../src/core/policy.ts";
import { SourceError } from "../../src/errors.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";
import { Gates } from "./runner_testing.ts";

const SHARD = "shardId-000000000000";

Deno.test("lanes: the end of a shard waits for all of them", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  let ended = 0;
  cluster.put(20);
  const { told } = await cluster.start("A", {
    ...journal.of("A", (record) => record.text() === "7" ? gate.promise : undefined),
    shardEnded: () => void (ended += 1),
  }, { concurrency: 16 });
  cluster.stream.split(SHARD);
  cluster.put(10, 20);
  await cluster.clock.advance(20_000);
  assertEquals([ended, told("shard_ended").length], [0, 0]);
  assertEquals(journal.numbers(), upTo(20).filter((number) => number !== 17));
  gate.resolve();
  await cluster.clock.advance(20_000);
  assertEquals(journal.numbers(), upTo(30));
  assertEquals(told("shard_ended").map(({ shardId }) => shardId), [SHARD]);
});

Deno.test("lanes: a record that stops the shard does so while the next read is waited for", async () => {
  await using cluster = new Cluster(1);
  const gate = Promise.withResolvers<void>();
  const { told } = await cluster.start("A", {
    async process(record) {
      if (record.text() !== "2") return;
      await gate.promise;
      throw new Error("broken");
    },
    getErrorHandlingMode: () => retryAndStop(0),
  }, { concurrency: 16, emptyReceiveDelay: 3_600_000 });
  cluster.put(5);
  await cluster.clock.advance(3_600_000);
  gate.resolve();
  await cluster.clock.advance(100);
  assertEquals(told("shard_stopped").map(({ reason }) => reason), ["recordFailed"]);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, {
    kind: "sequence",
    sequenceNumber: "2",
  });
});

Deno.test("lanes: a read that fails opens the shard after what is in hand, so that nothing comes twice", async () => {
  await using cluster = new Cluster(1);
  const gates = new Gates();
  const open = cluster.stream.open.bind(cluster.stream);
  let failures = 0;
  cluster.stream.open = async function* (shardId, after, signal) {
    for await (const batch of open(shardId, after, signal)) {
      yield { ...batch, records: batch.records.slice(0, 2) };
      failures += 1;
      throw new SourceError("Cannot read: iterator expired", { kind: "unavailable" });
    }
  };
  cluster.put(10);
  const { app } = await cluster.start("A", gates, { concurrency: 16 });
  await cluster.clock.advance(60_000);
  assert(failures > 5 && gates.inHand.size > 1);
  await gates.openAll();
  assertEquals(gates.started.map(Number).sort((a, b) => a - b), upTo(10));
  await cluster.clock.until(app.stop());
});
