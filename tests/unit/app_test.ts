// Owns: whole workers in one process: what the app promises beside the defects of the original.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ReactoKinesixApp } from "../../src/app.ts";
import { retryAndStop } from "../../src/core/policy.ts";
import { WorkerReplacedError } from "../../src/errors.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";

const SHARD = "shardId-000000000000";

Deno.test("app: one worker processes every record of every shard once, and leaves nothing behind", async () => {
  const cluster = new Cluster(4);
  const journal = new Journal();
  cluster.put(100);
  const { app } = await cluster.start("A", journal.of("A"));
  await cluster.clock.advance(1_000);
  cluster.put(100, 100);
  await cluster.clock.advance(1_000);
  assertEquals(journal.numbers(), upTo(200));
  assertEquals(app.shards().length, 4);
  await cluster.clock.until(app.stop());
  await app.finished;
  assertEquals(cluster.clock.sleeping, 0);
  const { rows } = await cluster.store.table.list("worker", new AbortController().signal);
  assertEquals(rows, []);
});

Deno.test("app: a record that fails on every worker ends stopped everywhere, not in a loop", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const poison = (name: string): RecordProcessor => ({
    ...journal.of(name, (record) => {
      if (record.text() === "1") throw new Error("poison");
    }),
    getErrorHandlingMode: () => retryAndStop(1),
  });
  const members = [await cluster.start("A", poison("A")), await cluster.start("B", poison("B"))];
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  cluster.put(3);
  await cluster.clock.advance(5 * CONFIG.heartbeat);
  assertEquals(journal.texts("A").filter((text) => text === "1").length, 2);
  assertEquals(journal.texts("B").filter((text) => text === "1").length, 2);
  await cluster.clock.advance(600_000);
  assertEquals(journal.texts().length, 5, "nobody tries again");
  const row = await cluster.store.shard(SHARD);
  assertEquals([row.owner, [...row.stoppedBy].sort()], [null, ["A", "B"]]);
  assertEquals(row.checkpoint, { kind: "sequence", sequenceNumber: "1" });
  assert(members.flatMap(({ told }) => told("shard_stopped_everywhere")).length > 0);
});

Deno.test("app: stop() returns in time even when process() never does, and the record comes again", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.put(3);
  const hung = (): Promise<void> => new Promise(() => {});
  const { app } = await cluster.start(
    "A",
    journal.of("A", (record) => record.text() === "1" ? hung() : undefined),
  );
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(1_000);
  await cluster.clock.until(app.stop(), CONFIG.shutdownTimeout);
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  assertEquals(journal.texts("A"), ["0", "1"]);
  assertEquals(journal.texts("B"), ["1", "2"]);
});

Deno.test("app: a shard that was given up in mid-record is not checkpointed by its old owner any more", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  cluster.put(3);
  const { app } = await cluster.start("A", journal.of("A", () => gate.promise));
  await cluster.clock.advance(1_000);
  await cluster.clock.until(app.stop(), CONFIG.shutdownTimeout);
  gate.resolve();
  await cluster.clock.advance(1_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "trimHorizon" });
  assertEquals(journal.texts(), ["0"]);
});

Deno.test("app: of two processes with one worker id the older one ends, and says why", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const older = await cluster.start("A", journal.of("older"));
  const ended = assertRejects(() => older.app.finished, WorkerReplacedError, '"A"');
  await cluster.start("A", journal.of("newer"));
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  await ended;
  cluster.put(10);
  await cluster.clock.advance(60_000);
  assertEquals(journal.texts("older"), []);
  assertEquals(journal.numbers(), upTo(10));
  assertEquals(older.told("worker_stopped")[0]?.error?.name, "WorkerReplacedError");
});

Deno.test("app: a worker that is replaced while it starts says so", async () => {
  await using cluster = new Cluster(1);
  const gate = Promise.withResolvers<void>();
  cluster.store.beforeList = () => gate.promise;
  const starting = ReactoKinesixApp.createNew(cluster.options("A", { process: () => {} }));
  const refused = assertRejects(() => starting, WorkerReplacedError, '"A"');
  await settled();
  cluster.store.beforeList = () => {};
  await cluster.start("A", { process: () => {} });
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  gate.resolve();
  await cluster.clock.until(refused);
});

Deno.test("app: a worker that falls silent is replaced after its time-out, and no record is lost", async () => {
  await using cluster = new Cluster(4);
  const journal = new Journal();
  const silent = await cluster.start("A", journal.of("A"));
  const { told } = await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(30_000);
  // From now on nothing that A writes arrives.
  cluster.store.fate = (change) => {
    const isFromA = change.id === "A" || (typeof change.set !== "string" && "owner" in change.set);
    return isFromA && change.id === "A" ? "request lost" : "made";
  };
  cluster.put(40);
  await cluster.clock.advance(CONFIG.heartbeatTimeout);
  assertEquals(silent.told("worker_fenced").length, 1);
  await cluster.clock.advance(3 * CONFIG.heartbeat);
  assertEquals(told("worker_lost").map(({ lostWorkerId }) => lostWorkerId), ["A"]);
  assertEquals(silent.app.shards(), []);
  cluster.put(40, 40);
  await cluster.clock.advance(CONFIG.heartbeat);
  assertEquals(journal.numbers(), upTo(80));
  cluster.store.fate = () => "made";
});

Deno.test("app: an unknown or finished shard can neither be stopped nor started", async () => {
  await using cluster = new Cluster(1);
  const { app } = await cluster.start("A", { process: () => {} });
  await assertRejects(() => app.stopProcessing("nope"), RangeError, '"nope"');
  await assertRejects(() => app.startProcessing("nope"), RangeError, '"nope"');
  cluster.stream.split(SHARD);
  await cluster.clock.advance(1_000);
  await assertRejects(
    () => app.stopProcessing(SHARD),
    RangeError,
    "every record of it is finished",
  );
});

Deno.test("app: wrong options are refused by name, before anything is touched", async () => {
  const cluster = new Cluster(1);
  const bad: readonly (readonly [object, string])[] = [
    [{ appName: "" }, "appName"],
    [{ appName: "a b" }, "appName"],
    [{ appName: "a".repeat(56) }, "appName"],
    [{ streamName: undefined }, "streamName"],
    [{ workerId: "a\nb" }, "workerId"],
    [{ workerId: "" }, "workerId"],
    [{ workerId: 7 }, "workerId"],
    [{ processor: {} }, "processor"],
    [{ config: { heartbeat: 1 } }, "heartbeat"],
    [{ config: { hartbeat: 1_000 } }, "hartbeat"],
  ];
  for (const [more, name] of bad) {
    const options = { ...cluster.options("A", { process: () => {} }), ...more };
    const error = await assertRejects(() => ReactoKinesixApp.createNew(options));
    assert(error instanceof TypeError || error instanceof RangeError);
    assert(error.message.includes(name), error.message);
  }
  assertEquals(cluster.store.sent, []);
});

Deno.test("app: a start that is called off ends with the reason, and leaves nothing behind", async () => {
  const cluster = new Cluster(1);
  const abort = new AbortController();
  const prepare = cluster.store.prepare.bind(cluster.store);
  cluster.store.prepare = async (signal) => {
    abort.abort(new Error("called off"));
    await prepare(signal);
  };
  const options = cluster.options("A", { process: () => {} }, { signal: abort.signal });
  const started = cluster.clock.until(ReactoKinesixApp.createNew(options));
  await assertRejects(() => started, Error, "called off");
  assertEquals(await cluster.store.read("worker", "A", new AbortController().signal), null);
});

Deno.test("app: a start that is called off before it has connected ends with the reason, and sends nothing", async () => {
  const cluster = new Cluster(1);
  const abort = new AbortController();
  const options = cluster.options("A", { process: () => {} }, { signal: abort.signal });
  const started = ReactoKinesixApp.createNew(options);
  abort.abort(new Error("called off"));
  await assertRejects(() => cluster.clock.until(started), Error, "called off");
  assertEquals(cluster.store.sent, []);
});

Deno.test("app: a running app stops when its signal is aborted", async () => {
  const cluster = new Cluster(1);
  const abort = new AbortController();
  const options = cluster.options("A", { process: () => {} }, { signal: abort.signal });
  const app = await cluster.clock.until(ReactoKinesixApp.createNew(options));
  abort.abort();
  await cluster.clock.until(app.finished);
  assertEquals(app.shards(), []);
});

Deno.test("app: a start in the future is refused", async () => {
  const cluster = new Cluster(1);
  const initialPosition = cluster.clock.now() + 3_600_000;
  const options = cluster.options("A", { process: () => {} }, { config: { initialPosition } });
  await assertRejects(() => ReactoKinesixApp.createNew(options), RangeError, "in the future");
});

Deno.test("stop: a state table that does not answer takes no time from the record in hand", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const wait = () => cluster.clock.sleep(3_000, new AbortController().signal);
  const { app } = await cluster.start("A", journal.of("A", wait));
  cluster.put(9);
  await cluster.clock.advance(1_000);
  cluster.store.beforeList = () => new Promise(() => {});
  await cluster.clock.until(app.stop(), CONFIG.shutdownTimeout);
  const { owner, checkpoint } = await cluster.store.shard("shardId-000000000000");
  const started = String(journal.numbers().length);
  assertEquals([owner, checkpoint], [null, { kind: "sequence", sequenceNumber: started }]);
});
