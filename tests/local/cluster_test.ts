// Whole workers, as processes, on the local stack. Bounds have room: machines are noisy.
import { assert, assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import { delay } from "@std/async/delay";
import { Cluster, SETTINGS, tell, waitFor } from "./cluster.ts";
import type { AppEvent } from "../../mod.ts";

/** What starting a look, a process or a read may cost on a busy machine, in milliseconds. */
const SLACK = 1_500;

Deno.test("workers that join get their share; one that stops or dies is taken over, and nothing is lost", async (t) => {
  await using cluster = await Cluster.start({ shards: 8 });
  await cluster.putRecords(2_000, 100);
  const alice = await cluster.worker("alice");
  await cluster.untilShares("8", SLACK);

  await t.step(
    "a second worker: 4 and 4, within one loadBalanceFrequency and a heartbeat",
    async () => {
      await cluster.worker("bob");
      const within = SETTINGS.loadBalanceFrequency + SETTINGS.heartbeat + SLACK;
      const took = await cluster.untilShares("4,4", within);
      tell(`balanced ${Math.round(took)} ms after the second worker ran`);
    },
  );

  await cluster.putRecords(2_000, 100);
  const carol = await cluster.worker("carol");
  await t.step("a third worker: 3, 3 and 2", async () => {
    const within = SETTINGS.loadBalanceFrequency + SETTINGS.heartbeat + SLACK;
    const took = await cluster.untilShares("3,3,2", within);
    tell(`balanced ${Math.round(took)} ms after the third worker ran`);
  });

  await t.step(
    "SIGTERM: its shards are taken within 2 heartbeats, nothing is processed twice",
    async () => {
      await cluster.putRecords(2_000, 100);
      carol.kill("SIGTERM");
      const took = await waitFor(async () => (await cluster.shares())?.length === 2, {
        what: "two workers to have all shards",
        within: 2 * SETTINGS.heartbeat + SLACK,
      });
      tell(`taken over ${Math.round(took)} ms after SIGTERM`);
      assertEquals((await carol.status).code, 0);
      await cluster.putRecords(1_000, 100);
      const { repeated } = await cluster.settle(20_000);
      assertEquals(repeated, [], "nothing was processed twice so far");
    },
  );

  await t.step(
    "kill -9: its shards are taken within heartbeatTimeout and a look, nothing is lost",
    async () => {
      const putting = cluster.putRecords(3_000, 100);
      alice.kill("SIGKILL");
      const took = await cluster.untilShares(
        "8",
        SETTINGS.heartbeatTimeout + SETTINGS.checkUnprocessedShardsFrequency + SLACK,
      );
      tell(`taken over ${Math.round(took)} ms after kill -9`);
      await putting;
      const { repeated } = await cluster.settle(20_000);
      tell(`${repeated.length} records processed again after kill -9`);
    },
  );
});

Deno.test("an idle cluster writes once per worker and heartbeat", async () => {
  await using cluster = await Cluster.start({ shards: 8 });
  await cluster.worker("alice");
  await cluster.worker("bob");
  await cluster.untilShares("4,4", 10_000);
  const before = cluster.itemWrites;
  const startedAt = performance.now();
  await delay(8 * SETTINGS.heartbeat);
  const writes = cluster.itemWrites - before;
  // Of a busy machine, which may have slept for longer.
  const heartbeats = (performance.now() - startedAt) / SETTINGS.heartbeat;
  tell(`${writes} writes in ${heartbeats.toFixed(1)} heartbeats of 2 workers with 8 shards`);
  assertLessOrEqual(writes, 2 * (heartbeats + 1));
  assert(writes >= 2 * (heartbeats - 2), "the heartbeats were counted at all");
});

Deno.test("split and merge under load: the order of each key is kept, nothing is lost", async () => {
  await using cluster = await Cluster.start({ shards: 2 });
  const workers = [await cluster.worker("alice"), await cluster.worker("bob")];
  await cluster.reshardUnderLoad();
  const { repeated } = await cluster.settle(20_000);
  assertEquals(repeated, [], "nothing was processed twice");
  const ended = workers.flatMap((worker) => worker.events)
    .filter((event) => event.type === "shard_ended").map((event) => event.shardId).sort();
  assertEquals(ended, ["shardId-000000000000", "shardId-000000000001", "shardId-000000000003"]);
});

Deno.test("sixteen records of a shard at a time: through a split and a SIGTERM the order of each key is kept, and nothing is lost", async () => {
  await using cluster = await Cluster.start({ shards: 2 });
  const options = { concurrency: 16, slow: { every: 3, ms: 20 } };
  const workers = [
    await cluster.worker("alice", options),
    await cluster.worker("bob", options),
  ];
  // One after the other, a third of them at 20 ms each would take more than 12 s in each shard.
  const took = waitFor(async () => (await cluster.processed()).length >= 4_000, {
    what: "the first records to be processed",
    within: 12_000,
  });
  await cluster.putRecords(4_000, 200);
  await took;
  const half = (1n << 126n).toString();
  cluster.kinesis.engine.call("SplitShard", {
    StreamName: "ClusterStream",
    ShardToSplit: "shardId-000000000000",
    NewStartingHashKey: half,
  });
  await cluster.putRecords(2_000, 200);
  workers[0]?.kill("SIGTERM");
  await cluster.putRecords(2_000, 200);
  const { repeated } = await cluster.settle(20_000);
  tell(`${repeated.length} records beyond a gap came again after SIGTERM`);
  assert(repeated.every(({ workerId }) => workerId === "bob"), "only what alice left");
});

Deno.test("a worker that was paused past its time-out delivers nothing of what others took", async () => {
  await using cluster = await Cluster.start({ shards: 4 });
  const alice = await cluster.worker("alice");
  const bob = await cluster.worker("bob");
  await cluster.untilShares("2,2", 10_000);
  alice.kill("SIGSTOP");
  await waitFor(
    () =>
      bob.events.filter((event) => event.type === "shard_claimed" && event.from === "alice")
        .length >= 4,
    { what: "bob to take all of alice's shards", within: 10_000 },
  );
  await cluster.putRecords(1_000, 50);
  alice.kill("SIGCONT");
  await cluster.putRecords(1_000, 50);
  await cluster.settle(20_000);
  const takenAt = timeOf(bob.events.findLast((event) => event.type === "shard_claimed"));
  const termsOfBob = new Map(
    bob.events.filter((event) => event.type === "shard_claimed").map((
      event,
    ) => [event.shardId, event.term]),
  );
  const late = (await cluster.processed()).filter((record) =>
    record.workerId === "alice" && record.at > takenAt &&
    record.term < (termsOfBob.get(record.shardId) ?? 0)
  );
  assertLess(late.length, 1, "alice delivered records in a term that was over");
});

function timeOf(event: AppEvent | undefined): number {
  return event === undefined ? NaN : Date.parse(event.time);
}
