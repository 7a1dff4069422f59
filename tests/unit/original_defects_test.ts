// Owns: whole workers in one process: what each defect of the original would look like, and that it does not happen.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ReactoKinesixApp } from "../../src/app.ts";
import { retryAndSkip } from "../../src/core/policy.ts";
import { StoreError } from "../../src/errors.ts";
import type { AppEvent } from "../../src/events.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";

const SHARD = "shardId-000000000000";

Deno.test("B1: stopProcessing drains: the record in hand is finished and checkpointed", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  cluster.put(5);
  const { app, told } = await cluster.start(
    "A",
    journal.of("A", (record) => record.text() === "1" ? gate.promise : undefined),
  );
  await settled();
  let isStopped = false;
  const stopped = app.stopProcessing(SHARD).then(() => isStopped = true);
  await cluster.clock.advance(3_000);
  assertEquals(isStopped, false);
  gate.resolve();
  await cluster.clock.until(stopped);
  assertEquals(journal.texts(), ["0", "1"]);
  const row = await cluster.store.shard(SHARD);
  assertEquals(row.checkpoint, { kind: "sequence", sequenceNumber: "2" });
  assertEquals([row.owner, row.stoppedBy], [null, ["A"]]);
  assertEquals(told("shard_stopped").map(({ reason }) => reason), ["requested"]);
  await cluster.clock.advance(60_000);
  assertEquals(journal.texts().length, 2, "stopped is stopped");

  await cluster.clock.until(app.startProcessing(SHARD));
  await cluster.clock.advance(0);
  assertEquals(journal.texts(), ["0", "1", "2", "3", "4"]);
});

Deno.test("B1: stop() finishes the records in hand, and the next worker goes on after them", async () => {
  await using cluster = new Cluster(4);
  const journal = new Journal();
  cluster.put(100);
  const slow = async () => await cluster.clock.sleep(100, new AbortController().signal);
  const first = await cluster.start("A", journal.of("A", slow));
  await cluster.clock.advance(950);
  const stopping = first.app.stop();
  await cluster.clock.until(stopping);
  assert(journal.texts("A").length < 100);
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(1_000);
  assertEquals(journal.numbers(), upTo(100), "none lost, none twice");
});

Deno.test("B2: retryAndSkip goes on with the next record, and the checkpoint passes it", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.put(4);
  const fail = (): void => {
    throw new Error("broken");
  };
  const { told } = await cluster.start("A", {
    ...journal.of("A", (record) => record.text() === "1" ? fail() : undefined),
    getErrorHandlingMode: () => retryAndSkip(1),
  });
  await cluster.clock.advance(5_000);
  cluster.put(1, 4);
  await cluster.clock.advance(5_000);
  assertEquals(journal.texts(), ["0", "1", "1", "2", "3", "4"]);
  assertEquals(told("record_skipped").map(({ sequenceNumber }) => sequenceNumber), ["2"]);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, {
    kind: "sequence",
    sequenceNumber: "5",
  });
});

Deno.test("B3: workers that race for the same shards all work, and all stop", async () => {
  const cluster = new Cluster(8);
  const journal = new Journal();
  cluster.put(200);
  const members = cluster.clock.until(Promise.all(
    ["A", "B", "C"].map((name) =>
      ReactoKinesixApp.createNew(cluster.options(name, journal.of(name)))
    ),
  ));
  const apps = await members;
  await cluster.clock.advance(60_000);
  cluster.put(200, 200);
  await cluster.clock.advance(5_000);
  assertEquals(new Set(journal.numbers()).size, 400);
  assertEquals(apps.map((app) => app.shards().length).sort(), [2, 3, 3]);
  const owned = apps.flatMap((app) => app.shards().map(({ shardId }) => shardId));
  assertEquals(new Set(owned).size, 8, "no shard is owned twice");
  for (const app of apps) await cluster.clock.until(app.stop(), CONFIG.shutdownTimeout);
  await Promise.all(apps.map((app) => app.finished));
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("B4: changeProcessor uses the new one, from the next record on; nothing is lost or twice", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const disposed: string[] = [];
  const named = (name: string): RecordProcessor => ({
    ...journal.of(name),
    [Symbol.asyncDispose]: () => void disposed.push(name),
  });
  cluster.put(20);
  const { app, told } = await cluster.start("A", named("old"));
  await settled();
  await cluster.clock.until(app.changeProcessor(named("new")));
  assertEquals(disposed, ["old"]);
  cluster.put(20, 20);
  await settled();
  await cluster.clock.until(app.changeProcessor((shardId) => named(`${shardId} `)));
  cluster.put(20, 40);
  await settled();
  assertEquals(journal.numbers(), upTo(60));
  assertEquals(journal.texts("old").map(Number).every((n) => n < 20), true);
  assertEquals(journal.texts("new").map(Number).sort((a, b) => a - b), upTo(40).slice(20));
  assertEquals(told("processor_changed").length, 2);
  await cluster.clock.until(app.stop());
  const perShard = [0, 1].map((n) => `shardId-00000000000${n} `);
  assertEquals(disposed.sort(), [...perShard, "old", "new"].sort());
});

Deno.test("B5: resharding again and again leaves exactly the rows of the stream, and no shard starts twice", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const { told } = await cluster.start("A", journal.of("A"));
  let records = 0;
  for (let round = 0; round < 4; round++) {
    cluster.put(20, records);
    records += 20;
    const { shards } = await ReactoKinesixApp.clusterStatus(
      cluster.options("A", { process: () => {} }),
    );
    const open = shards.filter(({ state }) => state !== "closed").map(({ shardId }) => shardId);
    cluster.stream.split(open[0] ?? "");
    await cluster.clock.advance(30_000);
  }
  cluster.put(20, records);
  await cluster.clock.advance(30_000);
  assertEquals(journal.numbers(), upTo(records + 20));
  const claims = told("shard_claimed").map(({ shardId }) => shardId);
  assertEquals(new Set(claims).size, claims.length);
  assertEquals(claims.length, 2 + 4 * 2);
  assertEquals(told("shard_ended").length, 4);
});

Deno.test("B6: the last batch of a closed shard is checkpointed, and its children follow", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const { told } = await cluster.start("A", journal.of("A"));
  cluster.put(10);
  const children = cluster.stream.split(SHARD);
  cluster.put(10, 10);
  await cluster.clock.advance(1_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "shardEnd" });
  assertEquals(told("shard_ended").map(({ children }) => children), [[...children]]);
  assertEquals(journal.numbers(), upTo(20));
  assertEquals(
    told("checkpoint_written").filter(({ shardId }) => shardId === SHARD).at(-1)?.checkpoint,
    "10",
  );
});

Deno.test("B9: throws in every method of a processor lose no record and wedge no shard", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const explode = (): never => {
    throw new Error("explosion");
  };
  cluster.put(20);
  const { app, told } = await cluster.start("A", {
    ...journal.of("A", (record) => Number(record.text()) % 5 === 0 ? explode() : undefined),
    getErrorHandlingMode: explode,
    onMaxRetryExceeded: explode,
    shardEnded: undefined as never,
    [Symbol.asyncDispose]: explode,
  });
  app.addEventListener("*", explode);
  await cluster.clock.advance(60_000);
  assertEquals(new Set(journal.numbers()).size, 20);
  assertEquals(told("record_skipped").length, 4);
  assert(told("listener_failed").length > 0);
  await cluster.clock.until(app.stop());
  await app.finished;
  const operations = new Set(told("processor_failed").map(({ operation }) => operation));
  assertEquals([...operations].sort(), ["dispose", "getErrorHandlingMode", "onMaxRetryExceeded"]);
});

Deno.test("B10: a factory that throws for one shard does not hinder the others, and is asked again later", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  cluster.put(20);
  let isBroken = true;
  const { told } = await cluster.start("A", (shardId) => {
    if (isBroken && shardId === SHARD) throw new Error("no database");
    return journal.of("A");
  });
  await cluster.clock.advance(3_000);
  assertEquals(told("shard_stopped").map(({ reason }) => reason), ["processorFailed"]);
  const processed = journal.texts().length;
  assert(processed > 0 && processed < 20);
  isBroken = false;
  await cluster.clock.advance(60_000);
  assertEquals(journal.numbers(), upTo(20));
});

Deno.test("B17: children begin when every parent is finished, whoever has them", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  const wait = (): Promise<void> => gate.promise;
  await cluster.start("A", journal.of("A", wait));
  await cluster.start("B", journal.of("B", wait));
  await cluster.clock.advance(30_000);
  cluster.put(10);
  await settled();
  const child = cluster.stream.merge(SHARD, "shardId-000000000001");
  cluster.put(10, 10);
  await cluster.clock.advance(60_000);
  assertEquals(journal.lines.length, 2, "one record of each parent is in hand");
  gate.resolve();
  await cluster.clock.advance(60_000);
  assertEquals(journal.numbers(), upTo(20));
  const firstOfChild = journal.lines.findIndex(({ shard }) => shard === child);
  assertEquals(journal.lines.slice(firstOfChild).every(({ shard }) => shard === child), true);
});

Deno.test("B22: stopped on every worker, a shard is stopped, until one of them starts it", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const members = [
    await cluster.start("A", journal.of("A")),
    await cluster.start("B", journal.of("B")),
  ];
  cluster.put(1);
  await cluster.clock.advance(20_000);
  for (const { app } of members) await cluster.clock.until(app.stopProcessing(SHARD));
  cluster.put(1, 1);
  await cluster.clock.advance(120_000);
  assertEquals(journal.texts(), ["0"]);
  assertEquals((await members[0]?.app.status())?.shards.map(({ state }) => state), ["stopped"]);
  const told = members.flatMap(({ told }) => told("shard_stopped_everywhere"));
  assert(told.length > 0);
  assertEquals(told.every(({ shardId }) => shardId === SHARD), true);

  await cluster.clock.until(members[1]?.app.startProcessing(SHARD) ?? Promise.resolve());
  await cluster.clock.advance(1_000);
  assertEquals(journal.texts("B").at(-1), "1");
});

Deno.test("B22: stopped on the worker that has it, a shard goes on at the other, at once", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const { app } = await cluster.start("A", journal.of("A"));
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(2_000);
  await cluster.clock.until(app.stopProcessing(SHARD));
  cluster.put(1);
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  assertEquals(journal.lines, [{ worker: "B", shard: SHARD, text: "0" }]);
});

Deno.test("B25: no event of the start is missed, by a listener, a stream or onEvent", async () => {
  await using cluster = new Cluster(2);
  const first: AppEvent[] = [];
  const listened: AppEvent[] = [];
  const streamed: AppEvent[] = [];
  const options = cluster.options("A", { process: () => {} }, {
    onEvent: (event) => void first.push(event),
  });
  const app = await cluster.clock.until(
    ReactoKinesixApp.createNew(options).then((app) => {
      app.addEventListener("*", (event) => void listened.push(event));
      const events = app.events();
      void (async () => {
        for await (const event of events) streamed.push(event);
      })();
      return app;
    }),
  );
  await cluster.clock.advance(1_000);
  await cluster.clock.until(app.stop());
  await settled();
  const types = first.map(({ type }) => type);
  assertEquals(types.slice(0, 2), ["shard_found", "shard_found"]);
  assert(types.includes("worker_started") && types.includes("shard_claimed"));
  assertEquals(types.at(-1), "worker_stopped");
  assertEquals(listened, first);
  assertEquals(streamed, first);
});

Deno.test("B26: a failed start leaves nothing: the same options work afterwards", async () => {
  const cluster = new Cluster(2);
  const journal = new Journal();
  const options = cluster.options("A", journal.of("A"));
  let failures = 1;
  cluster.store.beforeList = () => {
    if (failures-- > 0) throw new StoreError("Cannot read the table: denied", { kind: "denied" });
  };
  const start = (): Promise<ReactoKinesixApp> =>
    cluster.clock.until(ReactoKinesixApp.createNew(options));
  await assertRejects(start, StoreError, "denied");
  await settled();
  const { signal } = new AbortController();
  assertEquals((await cluster.store.table.list("worker", signal)).rows, []);
  assertEquals(cluster.clock.sleeping, 0);
  cluster.put(10);
  const app = await start();
  await cluster.clock.advance(1_000);
  assertEquals(journal.numbers(), upTo(10));
  await cluster.clock.until(app.stop());
});

Deno.test("B27: calls of the user in the middle of everything disturb nothing", async () => {
  await using cluster = new Cluster(4);
  const journal = new Journal();
  const { app, told } = await cluster.start("A", journal.of("A"));
  for (let n = 0; n < 20; n++) {
    cluster.put(10, n * 10);
    void app.status();
    app.shards();
    const shardId = `shardId-00000000000${n % 4}`;
    const restart = app.stopProcessing(shardId).then(() => app.startProcessing(shardId));
    await cluster.clock.until(Promise.all([restart, app.changeProcessor(journal.of(`P${n}`))]));
  }
  await cluster.clock.advance(60_000);
  assertEquals(journal.numbers(), upTo(200));
  assertEquals(told("task_failed"), []);
});
