// Owns: what follows when a state table or a stream of the user's throws what no port is to throw.
import { assert, assertEquals } from "@std/assert";
import { SourceError } from "../../src/errors.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";

const SHARD = "shardId-000000000000";
const ODD: readonly (readonly [name: string, error: unknown])[] = [
  ["a TypeError", new TypeError("a test")],
  ["undefined", undefined],
];

for (const [name, error] of ODD) {
  Deno.test(`odd ports: a stream that throws ${name} is read again, and the worker goes on`, async () => {
    await using cluster = new Cluster(2);
    const journal = new Journal();
    const open = cluster.stream.open.bind(cluster.stream);
    let throws = 0;
    cluster.stream.open = (...args) => {
      if (args[0] !== SHARD || ++throws > 3) return open(...args);
      if (throws === 1) throw error;
      // deno-lint-ignore require-yield -- It fails before it has anything.
      return (async function* () {
        throw error;
      })();
    };
    cluster.put(20);
    const { app, told } = await cluster.start("A", journal.of("A"));
    await cluster.clock.advance(30_000);
    assertEquals(journal.numbers(), upTo(20));
    assertEquals(told("read_failed").map(({ shardId }) => shardId), [SHARD, SHARD, SHARD]);
    assertEquals(app.health().phase, "running");
  });

  Deno.test(`odd ports: a look at the stream that throws ${name} gives no shard up`, async () => {
    await using cluster = new Cluster(1);
    const journal = new Journal();
    const { app, told } = await cluster.start("A", journal.of("A"));
    const [open, list] = [cluster.stream.open, cluster.stream.listShards];
    cluster.stream.listShards = () => Promise.reject(error);
    cluster.stream.open = () => {
      throw new SourceError("Cannot read: a test", { kind: "missing" });
    };
    cluster.stream.split(SHARD);
    await cluster.clock.advance(30_000);
    Object.assign(cluster.stream, { open, listShards: list });
    cluster.put(10);
    await cluster.clock.advance(60_000);
    assertEquals(journal.numbers(), upTo(10));
    assertEquals(told("shard_ended").map(({ wasTrimmed }) => wasTrimmed), [false]);
    assertEquals(app.health().phase, "running");
  });

  Deno.test(`odd ports: a checkpoint whose write throws ${name} is written later`, async () => {
    await using cluster = new Cluster(1);
    const { app, told } = await cluster.start("A", { process: () => {} });
    const { store } = cluster;
    const write = store.write.bind(store);
    let isLost = false;
    store.write = async (change, signal) => {
      // Made, and not made: nobody can know.
      if (change.kind !== "shard") return await write(change, signal);
      if (isLost) await write(change, signal);
      isLost = !isLost;
      throw error;
    };
    cluster.put(1);
    await cluster.clock.advance(5_000);
    store.write = write;
    assert(told("task_failed").length > 0);
    cluster.put(9, 1);
    await cluster.clock.advance(30_000);
    assertEquals((await store.shard(SHARD)).checkpoint, { kind: "sequence", sequenceNumber: "10" });
    assertEquals(told("lease_lost"), []);
    assertEquals(app.health().phase, "running");
    await cluster.clock.until(app.stop(), CONFIG.shutdownTimeout);
  });

  Deno.test(`odd ports: a row whose write throws ${name} is written again`, async () => {
    await using cluster = new Cluster(2);
    const journal = new Journal();
    const { store } = cluster;
    const write = store.write.bind(store);
    const seen = new Set<string>();
    store.write = async (change, signal) => {
      const about = `${change.kind} ${change.id}`;
      if (!seen.has(about)) {
        seen.add(about);
        throw error;
      }
      return await write(change, signal);
    };
    cluster.put(10);
    const { app, told } = await cluster.start("A", journal.of("A"));
    await cluster.clock.advance(10_000);
    assertEquals(journal.numbers(), upTo(10));
    assert(told("task_failed").length >= seen.size);
    assertEquals(app.health().phase, "running");
  });
}
