import { assertEquals } from "@std/assert";
import type { ReactoKinesixConfig } from "../../mod.ts";
import { SourceError } from "../../src/errors.ts";
import type { StreamSource } from "../../src/ports.ts";
import type { AppFact } from "../../src/events.ts";
import { RetentionWatch } from "../../src/runtime/retention_watch.ts";
import type { OwnShard } from "../../src/runtime/shard_roster.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { Cluster, Journal } from "./app_testing.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A watch of a stream that keeps records for a day, and what it told. */
async function watching(
  options: { readonly retentionMs?: StreamSource["retentionMs"]; readonly shards?: OwnShard[] } =
    {},
) {
  const clock = new VirtualClock();
  const told: AppFact[] = [];
  const { retentionMs = () => Promise.resolve(DAY_MS), shards = [] } = options;
  const source = { retentionMs } as StreamSource;
  const watch = new RetentionWatch({ clock, source, emit: (fact) => void told.push(fact) });
  const listen = watch.listening(() => {});
  const closing = new AbortController();
  const running = watch.run(() => shards, closing.signal).catch(() => {});
  await settled();
  const end = async () => {
    closing.abort();
    await running;
  };
  return { clock, told, listen, end };
}

function claimed(readUntil?: number): AppFact {
  return {
    type: "shard_claimed",
    shardId: "s",
    term: 1,
    from: null,
    checkpoint: "7",
    ...readUntil !== undefined && { readUntil: new Date(readUntil).toISOString() },
  };
}

function batch(millisBehindLatest: number, records = 1): AppFact {
  const counts = { records, bytes: 1, filtered: 0, processMs: 1 };
  return { type: "batch_processed", shardId: "s", ...counts, millisBehindLatest };
}

function marks(told: readonly AppFact[]): readonly number[] {
  return told.flatMap((fact) => fact.type === "lag_near_retention" ? [fact.percent] : []);
}

Deno.test("retention: a lag is told at half and at four fifths, once each, and again after it fell", async () => {
  const { told, listen, end } = await watching();
  listen(claimed());
  for (const hours of [1, 11, 12, 13, 19, 20, 19, 5, 12]) listen(batch(hours * HOUR_MS));
  assertEquals(marks(told), [50, 80, 50]);
  assertEquals(told[0], {
    type: "lag_near_retention",
    shardId: "s",
    millisBehindLatest: 12 * HOUR_MS,
    retentionMs: DAY_MS,
    percent: 50,
  });
  await end();
});

Deno.test("retention: a shard that tells nothing any more is further behind each hour", async () => {
  const shards = [{ shardId: "s", term: 1, checkpoint: "7", inHandMs: 0 }];
  const { clock, told, listen, end } = await watching({ shards });
  listen(claimed());
  listen(batch(HOUR_MS));
  await clock.advance(10 * HOUR_MS);
  assertEquals(marks(told), []);
  await clock.advance(1.1 * HOUR_MS);
  assertEquals(marks(told), [50]);
  await end();
});

Deno.test("retention: records that are stuck at the tip count by how long they are in hand", async () => {
  const shards = [{ shardId: "s", term: 1, checkpoint: "7", inHandMs: 0 }];
  const { clock, told, listen, end } = await watching({ shards });
  listen(claimed());
  listen(batch(0, 0));
  await clock.advance(30 * HOUR_MS);
  assertEquals(marks(told), [], "an idle shard is not behind");
  shards[0] = { shardId: "s", term: 1, checkpoint: "7", inHandMs: 20 * HOUR_MS };
  await clock.advance(120_000);
  assertEquals(marks(told), [80]);
  await end();
});

Deno.test("retention: a checkpoint that is older than the stream keeps records is told with its first batch", async () => {
  const { clock, told, listen, end } = await watching();
  const old = clock.now() - 30 * HOUR_MS;
  listen(claimed(old));
  assertEquals(told, []);
  listen(batch(23 * HOUR_MS));
  listen(batch(22 * HOUR_MS));
  const expired = told.filter(({ type }) => type === "checkpoint_expired");
  assertEquals(expired, [{
    type: "checkpoint_expired",
    shardId: "s",
    checkpoint: "7",
    ageMs: 30 * HOUR_MS,
    retentionMs: DAY_MS,
  }]);
  await end();
});

Deno.test("retention: nothing is said of a young checkpoint, of an unknown one, and of a shard that is empty", async () => {
  const { clock, told, listen, end } = await watching();
  listen(claimed(clock.now() - 20 * HOUR_MS));
  listen(batch(HOUR_MS));
  listen(claimed());
  listen(batch(HOUR_MS));
  listen(claimed(clock.now() - 30 * HOUR_MS));
  listen(batch(0, 0));
  listen(batch(0));
  assertEquals(told, []);
  await end();
});

Deno.test("retention: a shard of which the filter left everything out is not empty", async () => {
  const { clock, told, listen, end } = await watching();
  listen(claimed(clock.now() - 30 * HOUR_MS));
  listen({ ...batch(0, 0), filtered: 3 } as AppFact);
  assertEquals(told.map(({ type }) => type), ["checkpoint_expired"]);
  await end();
});

Deno.test("retention: what came before the stream answered is judged afterwards", async () => {
  const answer = Promise.withResolvers<number>();
  const shards = [{ shardId: "s", term: 1, checkpoint: "7", inHandMs: 0 }];
  const { clock, told, listen, end } = await watching({
    shards,
    retentionMs: () => answer.promise,
  });
  listen(claimed(clock.now() - 30 * HOUR_MS));
  listen(batch(HOUR_MS));
  answer.resolve(DAY_MS);
  await settled();
  assertEquals(told.map(({ type }) => type), ["checkpoint_expired"]);
  await end();
});

Deno.test("retention: what is denied is told once, and asked again: credentials that had expired are renewed", async () => {
  let asked = 0;
  const { clock, told, listen, end } = await watching({
    retentionMs: () => {
      asked += 1;
      if (asked <= 3) return Promise.reject(new SourceError("Cannot ask", { kind: "denied" }));
      return Promise.resolve(DAY_MS);
    },
  });
  listen(claimed());
  listen(batch(1, 0));
  await clock.advance(2 * HOUR_MS);
  assertEquals([asked, told.map(({ type }) => type)], [3, ["task_failed"]]);
  await clock.advance(HOUR_MS);
  listen(batch(12 * HOUR_MS));
  assertEquals([asked, marks(told)], [4, [50]]);
  await end();
});

Deno.test("retention: it is asked about once an hour, and a failure is told once", async () => {
  let asked = 0;
  const { clock, told, end } = await watching({
    retentionMs: () => {
      asked += 1;
      return Promise.reject(new SourceError("Cannot ask", { kind: "unavailable" }));
    },
  });
  await clock.advance(5 * HOUR_MS);
  assertEquals([asked, told.length], [6, 1]);
  await end();
});

Deno.test("retention: a source of the user's that throws anything else is asked again too", async () => {
  let asked = 0;
  const { clock, told, end } = await watching({
    retentionMs: () => {
      asked += 1;
      if (asked === 1) throw new TypeError("a test");
      return Promise.reject(undefined);
    },
  });
  await clock.advance(5 * HOUR_MS);
  assertEquals([asked, told.length, told[0]?.type], [6, 1, "task_failed"]);
  await end();
});

Deno.test("retention: an app that was away for longer than the stream keeps records says so", async () => {
  const config: ReactoKinesixConfig = {};
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const source = Object.assign(cluster.stream, { retentionMs: () => Promise.resolve(DAY_MS) });
  cluster.put(5);
  const first = await cluster.start("a", journal.of("a"), config);
  await cluster.clock.advance(5_000);
  await cluster.clock.until(first.app.stop());
  assertEquals(first.told("checkpoint_expired"), []);
  await cluster.clock.advance(30 * HOUR_MS);
  cluster.put(5, 5);
  const second = await cluster.start("b", journal.of("b"), config);
  await cluster.clock.advance(5_000);
  assertEquals(second.told("checkpoint_expired").map(({ retentionMs }) => retentionMs), [DAY_MS]);
  assertEquals(source, cluster.stream);
});
