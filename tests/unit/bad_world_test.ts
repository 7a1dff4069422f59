// Owns: what holds when the stream, the table or the machine does not do what it should: one test for each promise.
import { assert, assertEquals } from "@std/assert";
import { MemoryStream } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import type { Row, RowChange } from "../../src/core/lease.ts";
import { retryAndStop } from "../../src/core/policy.ts";
import { SourceError, StoreError } from "../../src/errors.ts";
import type { Batch, WriteResult } from "../../src/ports.ts";
import { Fence, Heartbeat } from "../../src/runtime/heartbeat.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { Cluster, CONFIG, Journal, type Member, upTo } from "./app_testing.ts";
import { Bench, claimantOf } from "./runtime_testing.ts";

const SHARD = "shardId-000000000000";
const SECOND = "shardId-000000000001";

/** Has the stream say of every shard but the first that it is not there, until what this returns is called. */
function hideChildren({ stream }: Cluster): () => void {
  let isHidden = true;
  const list = stream.listShards.bind(stream);
  const open = stream.open.bind(stream);
  stream.listShards = async (signal) =>
    (await list(signal)).filter(({ id }) => !isHidden || id === SHARD);
  stream.open = async function* (
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
  ): AsyncGenerator<Batch> {
    if (isHidden && shardId !== SHARD) {
      throw new SourceError("Cannot read: no such shard", { kind: "missing" });
    }
    yield* open(shardId, after, signal);
  };
  return () => {
    isHidden = false;
  };
}

/** Has the row of a shard be one that cannot be understood, as the adapter for DynamoDB tells it. */
function spoil({ store }: Cluster, shardId: string): void {
  const { list, read, write } = {
    list: store.list.bind(store),
    read: store.read.bind(store),
    write: store.write.bind(store),
  };
  const refuse = (kind: Row["kind"], id: string): void => {
    if (kind === "shard" && id === shardId) {
      throw new StoreError("Cannot read the row: a test", { kind: "invalid" });
    }
  };
  store.list = async (kind, signal) => {
    const { rows } = await list(kind, signal);
    const isBad = ({ id }: { readonly id: string }): boolean => kind === "shard" && id === shardId;
    const malformed = rows.filter(isBad).map(({ id }) => ({ id, reason: "a test" }));
    return { rows: rows.filter((row) => !isBad(row)), malformed };
  };
  store.read = async (kind, id, signal) => {
    refuse(kind, id);
    return await read(kind, id, signal);
  };
  store.write = async <R extends Row>(
    change: RowChange<R>,
    signal: AbortSignal,
  ): Promise<WriteResult<R>> => {
    refuse(change.kind, change.id);
    return await write(change, signal);
  };
}

/** From now on, until what this returns is called, no heartbeat of the worker arrives. */
function silence({ store }: Cluster, workerId: string): () => void {
  store.fate = ({ kind, id }) => kind === "worker" && id === workerId ? "request lost" : "made";
  return () => {
    store.fate = () => "made";
  };
}

Deno.test("stream: a shard that one look does not list, and one read does not find, is processed when it is there", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const show = hideChildren(cluster);
  const { told } = await cluster.start("A", journal.of("A"));
  cluster.stream.split(SHARD);
  cluster.put(10);
  await cluster.clock.advance(1_000);
  assert(told("read_failed").length > 0);
  show();
  await cluster.clock.advance(60_000);
  assertEquals(journal.numbers(), upTo(10));
  assertEquals(told("shard_ended").map(({ shardId }) => shardId), [SHARD]);
});

Deno.test("stream: a shard that stays away is trimmed, and not before it was away for a while", async () => {
  await using cluster = new Cluster(1);
  hideChildren(cluster);
  const { told } = await cluster.start("A", { process: () => {} });
  const children = cluster.stream.split(SHARD);
  const trimmed = (): readonly string[] =>
    told("shard_ended").filter(({ wasTrimmed }) => wasTrimmed).map(({ shardId }) => shardId);
  await cluster.clock.advance(CONFIG.heartbeatTimeout / 2 - 1);
  assert(told("read_failed").length > 2);
  assertEquals(trimmed(), []);
  await cluster.clock.advance(60_000);
  assertEquals([...trimmed()].sort(), [...children]);
});

Deno.test("table: a malformed row of a shard keeps no worker from starting and no split from being followed", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const first = await cluster.start("A", journal.of("A"));
  spoil(cluster, SECOND);
  const children = cluster.stream.split(SHARD);
  await cluster.clock.advance(60_000);
  const second = await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(60_000);
  assertEquals(second.told("worker_started").length, 1);
  const open = cluster.stream.split(children[0]);
  await cluster.clock.advance(60_000);
  const claimed = [first, second].flatMap(({ told }) => told("shard_claimed"))
    .map(({ shardId }) => shardId);
  assertEquals(open.every((shardId) => claimed.includes(shardId)), true);
  assertEquals(second.told("row_malformed").map(({ id }) => id), [SECOND]);
  const looks = [first, second].flatMap(({ told }) => told("task_failed"))
    .filter(({ task }) => task === "look at the stream");
  assertEquals(looks, []);
});

Deno.test("table: a child whose parent's row is malformed is not processed", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  const old = await cluster.start("A", journal.of("A", () => gate.promise));
  cluster.put(1);
  cluster.stream.split(SHARD);
  cluster.put(10, 1);
  await cluster.clock.advance(0); // It has the record in hand.
  await cluster.clock.until(old.app.stop());
  gate.resolve();
  spoil(cluster, SHARD);
  const { told } = await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(120_000);
  assertEquals(journal.texts(), ["0"]);
  assertEquals(told("shard_found").length, 2, "the children have rows");
  assertEquals(told("shard_claimed"), []);
});

Deno.test("table: workers start on a table that takes ten writes a second, however many shards there are", async () => {
  for (const [shards, workers] of [[300, 1], [100, 3]] as const) {
    const cluster = new Cluster(shards);
    let tokens = 10;
    let last = 0;
    cluster.store.fate = () => {
      const now = cluster.clock.monotonic();
      tokens = Math.min(10, tokens + (now - last) / 100);
      last = now;
      if (tokens < 1) return "throttled";
      tokens -= 1;
      return "made";
    };
    const config = {
      heartbeat: 30_000,
      heartbeatTimeout: 180_000,
      checkUnprocessedShardsFrequency: 60_000,
      checkPendingHandoverRequestFrequency: 60_000,
      checkStreamChangesFrequency: 60_000,
      loadBalanceFrequency: 180_000,
      handoverRequestExpiry: 600_000,
    };
    const starts = Array.from(
      { length: workers },
      (_, i) =>
        ReactoKinesixApp.createNew(cluster.options(`W${i}`, { process: () => {} }, { config })),
    );
    const apps = await cluster.clock.until(Promise.all(starts));
    const { signal } = new AbortController();
    assertEquals((await cluster.store.table.list("shard", signal)).rows.length, shards);
    cluster.store.fate = () => "made";
    await cluster.clock.until(Promise.all(apps.map((app) => app.stop())));
  }
});

Deno.test("table: while it cannot be read, looks at it become rare", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const { told } = await cluster.start("A", journal.of("A"));
  await cluster.clock.advance(20_000);
  let lists = 0;
  cluster.store.beforeList = () => {
    lists += 1;
    throw new StoreError("Cannot read the table: denied", { kind: "denied" });
  };
  await cluster.clock.advance(600_000);
  const looks = told("task_failed").filter(({ task }) => task === "look at the state table");
  assert(looks.length > 10 && looks.length < 60, `${looks.length} events`);
  assert(lists < 150, `${lists} lists`);
  cluster.store.beforeList = () => {};
  cluster.put(10);
  await cluster.clock.advance(30_000);
  assertEquals(journal.numbers(), upTo(10));
});

/** A loses its shard in the middle of a record that hangs; the worker that took it stops when this returns. */
async function loseWhileHanging(
  cluster: Cluster,
  journal: Journal,
  others: readonly string[],
): Promise<{ readonly gate: PromiseWithResolvers<void>; readonly rest: readonly Member[] }> {
  const gate = Promise.withResolvers<void>();
  cluster.put(3);
  await cluster.start("A", journal.of("A", () => gate.promise));
  const members: Member[] = [];
  for (const name of others) members.push(await cluster.start(name, journal.of(name)));
  const restore = silence(cluster, "A");
  await cluster.clock.advance(4 * CONFIG.heartbeatTimeout);
  restore();
  await cluster.clock.advance(CONFIG.heartbeatTimeout);
  const { owner } = await cluster.store.shard(SHARD);
  const taker = members.find(({ app }) => app.workerId === owner);
  assert(taker, `${owner} has it`);
  await cluster.clock.until(taker.app.stop());
  cluster.put(3, 3);
  return { gate, rest: members.filter((member) => member !== taker) };
}

Deno.test("app: a shard that is given to a worker whose older record of it hangs goes on at another one", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const { gate, rest } = await loseWhileHanging(cluster, journal, ["B", "C"]);
  await cluster.clock.advance(60_000);
  assertEquals(rest.length, 1);
  assertEquals(journal.texts(rest[0]?.app.workerId).slice(-3), ["3", "4", "5"]);
  assertEquals(journal.texts("A"), ["0"]);
  gate.resolve();
});

Deno.test("app: a shard that is given back while an older record of it hangs goes on when that returns", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const { gate } = await loseWhileHanging(cluster, journal, ["B"]);
  await cluster.clock.advance(60_000);
  assertEquals((await cluster.store.shard(SHARD)).owner, null, "nobody seems to have it");
  assertEquals(journal.texts("A"), ["0"]);
  gate.resolve();
  await cluster.clock.advance(60_000);
  assertEquals(journal.texts("A"), ["0", "3", "4", "5"]);
});

Deno.test("app: a worker asks nobody for a shard of which it has an older record in hand", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  cluster.put(10);
  const hanging = await cluster.start("A", journal.of("A", () => gate.promise));
  const { told } = await cluster.start("B", journal.of("B"));
  const restore = silence(cluster, "A");
  await cluster.clock.advance(4 * CONFIG.heartbeatTimeout);
  restore();
  await cluster.clock.advance(120_000);
  assertEquals(told("shard_claimed").length, 2);
  assertEquals(hanging.told("handover_requested"), []);
  gate.resolve();
  await cluster.clock.advance(60_000);
  assertEquals(told("shard_handed_over").length, 1, "now it has none in hand");
});

Deno.test("stream: one that was deleted and created again under its name is told", async () => {
  await using cluster = new Cluster(1);
  const { app } = await cluster.start("A", { process: () => {} });
  cluster.stream.split(SHARD);
  await cluster.clock.advance(2_000);
  await cluster.clock.until(app.stop());
  const reborn = new MemoryStream({ shards: 1, clock: cluster.clock });
  cluster.stream.listShards = reborn.listShards.bind(reborn);
  cluster.stream.open = reborn.open.bind(reborn);
  const { told } = await cluster.start("B", { process: () => {} });
  const warnings = (): readonly string[] =>
    told("task_failed").map(({ error }) => error.message)
      .filter((message) => message.includes(SHARD) && message.includes("created again"));
  assertEquals(warnings(), [], "one look may be out of date");
  await cluster.clock.advance(2 * CONFIG.checkStreamChangesFrequency);
  assert(warnings().length > 0);
});

Deno.test("table: of those that stopped a shard only the names of live workers are kept", async () => {
  await using cluster = new Cluster(1);
  cluster.put(1);
  const poison = {
    process: (): never => {
      throw new Error("poison");
    },
    getErrorHandlingMode: () => retryAndStop(0),
  };
  await cluster.start("stays", poison);
  await cluster.clock.advance(2_000);
  for (let n = 0; n < 5; n++) {
    const { app } = await cluster.start(`host-${n}`, poison);
    await cluster.clock.advance(5_000);
    assertEquals([...(await cluster.store.shard(SHARD)).stoppedBy].sort(), [`host-${n}`, "stays"]);
    await cluster.clock.until(app.stop());
  }
});

/** A clock of a machine that may be suspended: then only wall time goes on. */
class SuspendedClock extends VirtualClock {
  suspendedMs = 0;

  override now(): number {
    return super.now() + this.suspendedMs;
  }
}

Deno.test("fence: it is down after the machine was suspended, although the monotonic clock stood still", () => {
  const clock = new SuspendedClock();
  const fence = new Fence(clock);
  fence.raise({ at: clock.monotonic(), wallAt: clock.now() }, 5_000);
  assert(fence.isUp);
  assertEquals(fence.leftMs, 4_500);
  clock.suspendedMs = 4_499;
  assert(fence.isUp && !fence.isUntold);
  clock.suspendedMs = 4_500;
  assert(!fence.isUp && fence.isUntold);
  // A wall clock that is set back does not hold it up.
  clock.suspendedMs = -3_600_000;
  assert(fence.isUp);
  clock.pass(4_500);
  assert(!fence.isUp);
});

Deno.test("fence: a worker that wakes up learns that it is down long before its next heartbeat", async () => {
  const clock = new SuspendedClock();
  const { random, store, emit } = new Bench();
  const fence = new Fence(clock);
  const stop = new AbortController();
  let fencedAt = -1;
  const heart = new Heartbeat({
    clock,
    random,
    store,
    emit,
    fence,
    claimant: claimantOf("A"),
    version: "test",
    heartbeat: 4_000,
    heartbeatTimeout: 10_000,
    countShards: () => 1,
    onAttention: () => {},
    onFenced: () => fencedAt = clock.monotonic(),
  });
  fence.raise({ at: clock.monotonic(), wallAt: clock.now() }, 10_000);
  heart.watchFence(stop.signal).catch(() => {}); // It ends by the abort.
  await clock.advance(100);
  clock.suspendedMs = 20_000;
  await clock.advance(500);
  assert(fencedAt >= 0 && fencedAt <= 600, `it learnt of it at ${fencedAt} ms`);
  stop.abort();
  await settled();
});

Deno.test("app: no heartbeat follows when the row of a worker that stops is removed", async () => {
  const cluster = new Cluster(1);
  const { store, clock } = cluster;
  const { app, told } = await cluster.start("A", { process: () => {} }, {
    shutdownTimeout: 100_000,
  });
  const write = store.write.bind(store);
  let after = 0;
  let isRemoved = false;
  // The row is removed at once, but the answer takes some heartbeats to come.
  store.write = async <R extends Row>(
    change: RowChange<R>,
    signal: AbortSignal,
  ): Promise<WriteResult<R>> => {
    if (isRemoved) after += 1;
    const result = await write(change, signal);
    if (change.kind === "worker" && change.set === "delete") {
      isRemoved = true;
      await clock.sleep(5 * CONFIG.heartbeat, signal);
    }
    return result;
  };
  await clock.until(app.stop());
  await settled();
  assertEquals([isRemoved, after], [true, 0]);
  const { rows } = await store.table.list("worker", new AbortController().signal);
  assertEquals(rows, []);
  assertEquals(told("worker_fenced"), []);
  assertEquals(clock.sleeping, 0);
});
