// What the dashboard counts and compares, without a server: activity, cluster view, the model of the page, what is written for people.
import { assertEquals } from "@std/assert";
import { Activity } from "../../src/cli/dashboard/activity.ts";
import { ClusterView } from "../../src/cli/dashboard/cluster_view.ts";
import {
  ago,
  amount,
  behind,
  lagStep,
  shortId,
  size,
  span,
} from "../../src/cli/dashboard/page/format.ts";
import { Model, Search } from "../../src/cli/dashboard/page/model.ts";
import type { ShardView, Snapshot } from "../../src/cli/dashboard/protocol.ts";
import type { AppEvent, AppFact } from "../../src/events.ts";
import { FakeCluster } from "./dashboard_testing.ts";

function event(fact: AppFact): AppEvent {
  return { ...fact, time: "2026-01-01T00:00:00.000Z", workerId: "w1" };
}

function batch(shardId: string, records: number, millisBehindLatest = 0): AppEvent {
  return event({
    type: "batch_processed",
    processMs: 1,
    shardId,
    records,
    bytes: records * 10,
    filtered: 0,
    millisBehindLatest,
  });
}

Deno.test("activity: points of two seconds, also where nothing happened", () => {
  const activity = new Activity(0);
  activity.follow(batch("a", 10, 500), 100);
  activity.follow(batch("b", 30, 9_000), 1_900);
  activity.follow(batch("a", 4), 6_500);
  assertEquals(activity.pointsAfter(0, 6_500), [
    { at: 2_000, recordsPerSecond: 20, bytesPerSecond: 200, lag: 9_000 },
    { at: 4_000, recordsPerSecond: 0, bytesPerSecond: 0, lag: 9_000 },
    { at: 6_000, recordsPerSecond: 0, bytesPerSecond: 0, lag: 9_000 },
  ]);
  assertEquals(activity.pointsAfter(4_000, 8_000).map(({ at }) => at), [6_000, 8_000]);
});

Deno.test("activity: half an hour is kept, also when the clock leaps a year", () => {
  const activity = new Activity(0);
  activity.follow(batch("a", 1), 1);
  const year = 365 * 86_400_000;
  const points = activity.pointsAfter(0, year);
  assertEquals([points.length, points.at(-1)?.at, points[0]?.at], [900, year, year - 899 * 2_000]);
  const hour = activity.pointsAfter(0, year + 3_600_000);
  assertEquals([hour.length, hour.at(-1)?.at], [900, year + 3_600_000]);
});

Deno.test("activity: a shard that is given away is not behind here any more", () => {
  const activity = new Activity(0);
  activity.follow(batch("a", 1, 60_000), 1);
  activity.follow(
    event({ type: "shard_handed_over", shardId: "a", term: 2, to: "w2", checkpoint: "LATEST" }),
    2,
  );
  assertEquals(activity.pointsAfter(0, 2_000)[0]?.lag, null);
  assertEquals(activity.rates(), []);
});

Deno.test("activity: rates tell only what changed", () => {
  const activity = new Activity(0);
  activity.follow(batch("a", 10, 5), 500);
  activity.follow(batch("b", 0), 500);
  assertEquals(activity.takeRates(1_000), [["a", 10, 5], ["b", 0, 0]]);
  assertEquals(activity.takeRates(2_000), [["a", 0, 5]]);
  assertEquals(activity.takeRates(3_000), []);
  assertEquals(activity.rates(), [["a", 0, 5], ["b", 0, 0]]);
});

Deno.test("activity: of a shard that comes back the pages are told, however still it is", () => {
  const activity = new Activity(0);
  activity.follow(batch("a", 10), 500);
  assertEquals(activity.takeRates(1_000), [["a", 10, 0]]);
  activity.follow(event({ type: "lease_lost", shardId: "a", term: 1, reason: "taken" }), 1_500);
  activity.follow(batch("a", 0), 1_600);
  assertEquals(activity.rates(), []);
  assertEquals(activity.takeRates(2_000), [["a", 0, 0]]);
});

Deno.test("activity: a flood of one event does not wash the others away", () => {
  const activity = new Activity(0);
  activity.follow(event({ type: "shard_start_requested", shardId: "a" }), 1);
  const error = { name: "Error", message: "x".repeat(5_000) };
  for (let i = 0; i < 10_000; i++) {
    activity.follow(event({ type: "read_failed", shardId: "a", error }), 2);
  }
  const events = activity.eventsAfter(0, 60_000);
  assertEquals(events[0]?.type, "shard_start_requested");
  assertEquals(events.length, 52);
  assertEquals(events.at(-1)?.text, "and 9950 more events of read_failed");
  assertEquals((events[1]?.text.length ?? 0) <= 600, true);
  assertEquals(activity.eventsAfter(events.at(-1)?.id ?? 0, 60_000), []);
});

Deno.test("view: only what changed is news, and what is gone", () => {
  const cluster = new FakeCluster(2, 3);
  const status = cluster.status();
  const view = new ClusterView();
  view.look(status);
  assertEquals(view.takeChanges().shards?.length, 3);
  view.look(status);
  assertEquals(view.takeChanges(), {});
  view.look({ ...status, shards: status.shards.slice(1), workers: status.workers.slice(1) });
  assertEquals(view.takeChanges(), {
    goneWorkers: ["worker-1"],
    goneShards: ["shardId-000000000000"],
  });
});

Deno.test("view: what the worker tells is newer than a row of an earlier term, and older than a later one", () => {
  const cluster = new FakeCluster(1, 1);
  const view = new ClusterView();
  view.look(cluster.status());
  const shardId = "shardId-000000000000";
  view.follow(event({ type: "shard_claimed", shardId, term: 5, from: null, checkpoint: "LATEST" }));
  view.look(cluster.status());
  assertEquals([view.shards[0]?.owner, view.shards[0]?.term], ["w1", 5]);
  cluster.change(0, { term: 7, owner: "worker-9" });
  view.look(cluster.status());
  view.follow(event({ type: "shard_released", shardId, term: 6, checkpoint: "LATEST" }));
  assertEquals([view.shards[0]?.owner, view.shards[0]?.term], ["worker-9", 7]);
});

const SHARD: ShardView = {
  id: "shardId-000000000012",
  state: "handingOver",
  owner: "worker-1",
  to: "Blue",
  term: 3,
  checkpoint: "LATEST",
  checkpointAt: null,
  lag: 10,
  stoppedAt: null,
  parents: [],
};

Deno.test("search: every word must be found, in whatever case", () => {
  const found = (text: string) => new Search(text).meansShard(SHARD);
  const good = ["", " ", "12", "#12", "WORKER-1", "blue", "handing", "shardid-0000 worker"];
  assertEquals(good.filter((text) => !found(text)), []);
  assertEquals(["#1 x", "worker-2", "stopped", "12 green"].filter(found), []);
});

Deno.test("model: a new start replaces everything, and keeps what only the page saw", () => {
  const snapshot: Snapshot = {
    appName: "A",
    streamName: "S",
    workerId: "w1",
    version: "1",
    now: Date.now(),
    takesOrders: true,
    takesProcessors: false,
    look: { at: 1, movesAt: 1, everyMs: 1_000, error: null },
    workers: [],
    shards: [SHARD],
    rates: [[SHARD.id, 5, 700]],
    events: [{ id: 4, at: 1, type: "t", shard: null, tone: "plain", text: "x" }],
    points: [{ at: 2_000, recordsPerSecond: 1, bytesPerSecond: 1, lag: 1 }],
  };
  const model = new Model();
  model.start(snapshot);
  assertEquals([model.shards.get(SHARD.id)?.lag, model.history[0]?.clusterLag], [700, null]);
  const seen = { at: 4_000, recordsPerSecond: 1, bytesPerSecond: 1, lag: 1 };
  model.update({ now: Date.now(), points: [seen] });
  assertEquals(model.history[1]?.clusterLag, 700);
  model.update({
    now: Date.now(),
    events: [...snapshot.events, { ...snapshot.events[0], id: 5 } as never],
  });
  assertEquals(model.events.map(({ id }) => id), [4, 5], "what is told twice is there once");
  model.start({ ...snapshot, shards: [], rates: [], events: [], points: [seen] });
  assertEquals([model.shards.size, model.events.length, model.history[0]?.clusterLag], [0, 0, 700]);
});

Deno.test("format: times, amounts and ids", () => {
  const spans = [0, 999, 1_000, 1_449, 61_000, 5_400_000, 864_000_000].map(span);
  assertEquals(spans, ["0 s", "999 ms", "1 s", "1.4 s", "1 min", "1.5 h", "10 d"]);
  assertEquals([behind(null), behind(0), behind(2_000)], ["unknown", "caught up", "2 s behind"]);
  assertEquals([ago(1_000, 1_400), ago(1_000, 5_900), ago(9_000, 1_000)], [
    "just now",
    "4 s ago",
    "just now",
  ]);
  assertEquals([0, 9.94, 950, 999.9, 12_400, 3e6].map(amount), [
    "0",
    "9.9",
    "950",
    "1 k",
    "12.4 k",
    "3 M",
  ]);
  assertEquals([size(12), size(1_500)], ["12 B", "1.5 kB"]);
  assertEquals([shortId("shardId-000000000000"), shortId("shardId-000000000120"), shortId("x")], [
    "0",
    "120",
    "x",
  ]);
  assertEquals([null, 0, 5_000, 60_000, 600_000, 3_600_000].map(lagStep), [0, 0, 1, 2, 3, 4]);
});
