// Whole workers, as processes, on the local stack, by enhanced fan-out.
import { assert, assertEquals } from "@std/assert";
import { Cluster, SETTINGS, tell } from "./cluster.ts";

const FAN_OUT = { retrieval: "fan-out" } as const;
/** A shard can be subscribed to again 5 seconds after the last time. */
const IN_USE_MS = 5_000;
const SLACK = 3_000;

function consumersOf(cluster: Cluster): readonly string[] {
  const StreamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/ClusterStream";
  const reply = cluster.kinesis.engine.call("ListStreamConsumers", { StreamARN }) as {
    readonly Consumers: readonly { readonly ConsumerName: string }[];
  };
  return reply.Consumers.map((consumer) => consumer.ConsumerName);
}

Deno.test("fan-out: split and merge under load: the order of each key is kept, nothing is lost or comes twice", async () => {
  await using cluster = await Cluster.start({ shards: 2 });
  const workers = [await cluster.worker("alice", FAN_OUT), await cluster.worker("bob", FAN_OUT)];
  await cluster.reshardUnderLoad();
  const { repeated } = await cluster.settle(20_000);
  assertEquals(repeated, []);
  const events = workers.flatMap((worker) => worker.events);
  const ended = events.filter((event) => event.type === "shard_ended").map((event) =>
    event.shardId
  );
  assertEquals(ended.sort(), [0, 1, 3].map((index) => `shardId-00000000000${index}`));
  assertEquals(events.filter((event) => event.type === "read_failed"), []);
  assertEquals(consumersOf(cluster), ["ClusterTest"]);
});

Deno.test("fan-out: workers hand over, stop and die: nothing comes twice but after kill -9, and one consumer is left", async (t) => {
  await using cluster = await Cluster.start({ shards: 4 });
  const alice = await cluster.worker("alice", FAN_OUT);
  await cluster.putRecords(1_000, 100);

  await t.step("a second worker gets its share of what is under way", async () => {
    await cluster.worker("bob", FAN_OUT);
    const within = SETTINGS.loadBalanceFrequency + SETTINGS.heartbeat + SLACK;
    await cluster.untilShares("2,2", within);
    await cluster.putRecords(1_000, 100);
    const { repeated } = await cluster.settle(IN_USE_MS + 10_000);
    assertEquals(repeated, []);
  });

  await t.step("SIGTERM: the other goes on where it was", async () => {
    await cluster.putRecords(1_000, 100);
    alice.kill("SIGTERM");
    assertEquals((await alice.status).code, 0);
    await cluster.putRecords(1_000, 100);
    const start = performance.now();
    const { repeated } = await cluster.settle(IN_USE_MS + 10_000);
    assertEquals(repeated, []);
    tell(`${Math.round(performance.now() - start)} ms after SIGTERM all was processed`);
  });

  await t.step("kill -9: a subscription that nobody ended keeps nobody out", async () => {
    const carol = await cluster.worker("carol", FAN_OUT);
    await cluster.untilShares("2,2", SETTINGS.loadBalanceFrequency + SETTINGS.heartbeat + SLACK);
    carol.kill("SIGKILL");
    await cluster.putRecords(1_000, 100);
    const start = performance.now();
    const { repeated } = await cluster.settle(20_000);
    tell(`${Math.round(performance.now() - start)} ms after kill -9 all was processed`);
    assert(repeated.every(({ workerId }) => workerId === "bob"));
  });

  assertEquals(consumersOf(cluster), ["ClusterTest"]);
});
