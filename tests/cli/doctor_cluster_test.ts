// kinesix doctor: it finds what is broken within a cluster, from its rows.
import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import { assertEquals, assertMatch } from "@std/assert";
import type { Row } from "../../src/core/lease.ts";
import { Clinic, ills, shardId, shardRow, workerRow } from "./doctor_testing.ts";

const MINUTE_MS = 60_000;

async function illsOf(rows: readonly Row[], ...args: readonly string[]) {
  await using clinic = await Clinic.start();
  await clinic.rows(...rows);
  return ills(await clinic.examine(...args));
}

Deno.test("doctor: the rows of a sound cluster, also of one that was split and that rests", async () => {
  const now = Date.now();
  const far = { checkpointAt: now - 300 * MINUTE_MS, millisBehindLatest: 0 };
  assertEquals(
    await illsOf([
      workerRow({ id: "v", incarnation: "v1", beatAt: now - 2 * MINUTE_MS }),
      workerRow(),
      shardRow(0, far),
      shardRow(1, { owner: "v", holder: "v1", handover: { to: "w", id: "1", at: now - 1_000 } }),
    ]),
    {},
  );
  await using clinic = await Clinic.start({ shards: 1 });
  clinic.kinesis.engine.call("SplitShard", {
    StreamName: "S",
    ShardToSplit: shardId(0),
    NewStartingHashKey: String(2n ** 127n),
  });
  await clinic.rows(
    workerRow(),
    shardRow(0, { owner: null, holder: null, checkpoint: { kind: "shardEnd" } }),
    shardRow(1, { parents: [shardId(0)] }),
    shardRow(2, { parents: [shardId(0)] }),
  );
  assertEquals(ills(await clinic.examine()), {});
});

Deno.test("doctor: no worker, and none any more", async () => {
  assertEquals(await illsOf([]), { "workers": "warning: no worker runs" });
  const old = Date.now() - 10 * MINUTE_MS;
  assertEquals(await illsOf([workerRow({ beatAt: old }), shardRow(0), shardRow(1)]), {
    "workers": 'problem: no worker is alive; "w" was the last one, 10m ago',
  });
});

Deno.test("doctor: a worker that is silent, and the shard that it had", async () => {
  const silent = workerRow({ id: "v", incarnation: "v1", beatAt: Date.now() - 9 * MINUTE_MS });
  const found = await illsOf([workerRow(), silent, shardRow(0), shardRow(1, { owner: "v" })]);
  assertEquals(found, {
    "silent workers": 'warning: without a heartbeat are "v" for 9m',
    "shards without an owner": `problem: no live worker has ${shardId(1)}`,
  });
});

Deno.test("doctor: a worker whose clock is behind lives, since its heartbeat moves", async () => {
  let beat = 1;
  await using clinic = await Clinic.start({
    dynamoDB: async (operation) => {
      // Between the two looks.
      if (operation === "DeleteItem" && beat === 1) await clinic.rows(await moved());
    },
  });
  const beatAt = Date.now() - 60 * MINUTE_MS;
  const moved = async () => {
    beat += 1;
    const { signal } = new AbortController();
    await clinic.store.write(
      { kind: "worker", id: "w", expect: { beat: 1 }, set: "delete" },
      signal,
    );
    return workerRow({ beatAt, beat });
  };
  await clinic.rows(workerRow({ beatAt }), shardRow(0), shardRow(1));
  assertEquals(ills(await clinic.examine()), {});
});

Deno.test("doctor: two processes with one worker id", async () => {
  let isReplaced = false;
  await using clinic = await Clinic.start({
    dynamoDB: async (operation) => {
      if (operation !== "DeleteItem" || isReplaced) return;
      isReplaced = true;
      const { signal } = new AbortController();
      await clinic.store.write(
        { kind: "worker", id: "w", expect: { incarnation: "w1" }, set: { incarnation: "w2" } },
        signal,
      );
    },
  });
  await clinic.rows(workerRow(), shardRow(0), shardRow(1));
  assertEquals(ills(await clinic.examine()), {
    "worker ids": 'problem: another process goes on as "w" than a moment ago',
  });
});

Deno.test("doctor: workers that differ: versions, time-outs, clocks", async () => {
  const found = await illsOf([
    workerRow(),
    workerRow({
      id: "v",
      incarnation: "v1",
      version: "0.2.0",
      heartbeatTimeout: 60_000,
      beatAt: Date.now() + 4 * MINUTE_MS,
    }),
    shardRow(0),
    shardRow(1),
  ]);
  assertEquals(found, {
    "versions": "warning: the workers run versions 0.1.0, 0.2.0",
    "time-outs of the workers": "warning: the workers have different heartbeat time-outs: 1m, 3m",
    "clocks of the workers": 'warning: ahead of AWS\'s clock are "v" by 4m',
  });
});

Deno.test("doctor: a row that cannot be read", async () => {
  await using clinic = await Clinic.start();
  await clinic.rows(workerRow(), shardRow(0));
  const Item = { Stream: { S: "S" }, Row: { S: `shard/${shardId(1)}` }, Term: { S: "one" } };
  await clinic.client.send(new PutItemCommand({ TableName: "AKinesisState", Item }));
  const found = ills(await clinic.examine());
  assertEquals(Object.keys(found), ["rows"]);
  assertMatch(found["rows"] ?? "", /^problem: row "shard\/shardId-000000000001": .*Term/);
});

Deno.test("doctor: a shard without a row, and a row without a shard", async () => {
  assertEquals(await illsOf([workerRow(), shardRow(0)]), {
    "shards and their rows": `warning: the table has no row for ${shardId(1)}`,
  });
  assertEquals(await illsOf([workerRow(), shardRow(0), shardRow(1), shardRow(7)]), {
    "shards and their rows":
      `problem: the stream has no ${shardId(7)} any more, and they are not ` +
      "finished",
  });
});

Deno.test("doctor: shards that are stopped, by an operator and by a record that failed", async () => {
  const free = { owner: null, holder: null };
  const order = { kind: "stop", id: "1", at: Date.now() } as const;
  assertEquals(await illsOf([workerRow(), shardRow(0), shardRow(1, { ...free, order })]), {
    "stopped shards": `warning: nobody processes ${shardId(1)} (by an operator)`,
  });
  const failed = await illsOf([
    workerRow(),
    shardRow(0),
    shardRow(1, { ...free, stoppedBy: ["w"] }),
  ]);
  assertEquals(Object.keys(failed), ["stopped shards"]);
  assertMatch(failed["stopped shards"] ?? "", /^problem: .*a record kept failing/);
});

Deno.test("doctor: requests that are older than their expiry, of nobody, and shards that nobody takes over", async () => {
  const at = Date.now() - 11 * MINUTE_MS;
  const both = [workerRow(), workerRow({ id: "v", incarnation: "v1" }), shardRow(0)];
  const old = { handover: { to: "v", id: "1", at } };
  assertEquals(await illsOf([...both, shardRow(1, old)]), {
    "handovers": `warning: ${shardId(1)} was asked for 11m ago by "v"`,
  });
  assertEquals(await illsOf([...both, shardRow(1, old)], "--handover-request-expiry=15m"), {});
  const gone = { handover: { to: "x", id: "1", at: Date.now() } };
  assertEquals(await illsOf([...both, shardRow(1, gone)]), {
    "handovers": `warning: ${shardId(1)} is asked for by "x", which is not alive`,
  });
  assertEquals(await illsOf([...both, shardRow(1, { owner: "v", holder: null })]), {
    "handovers": `warning: ${shardId(1)} was given to "v", which has not taken it`,
  });
});
