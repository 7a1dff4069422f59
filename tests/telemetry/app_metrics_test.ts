import { assert, assertEquals } from "@std/assert";
// @ts-types="./parse_prometheus.d.ts"
import parsePrometheus from "parse-prometheus-text-format";
import { ReactoKinesixApp } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import {
  AppMetrics,
  type BatchDone,
  FAILURES_MAX,
  observe,
} from "../../src/telemetry/app_metrics.ts";
import { METRICS, PROCESS_TIME, prometheusName } from "../../src/telemetry/catalogue.ts";
import { PrometheusMetrics } from "../../src/telemetry/prometheus.ts";
import { batch, claimed, event, failed, released, skipped } from "./events.ts";

const NAMES = { appName: 'app "1"', streamName: "orders" };

/** The value of a series; undefined if it is not shown. */
function valueOf(
  text: string,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const family = parsePrometheus(text)?.find((family) => family.name === name);
  const found = family?.metrics.find((metric) =>
    Object.entries(labels).every(([label, value]) => metric.labels?.[label] === value)
  );
  return found?.value === undefined ? undefined : Number(found.value);
}

Deno.test("metrics: events become numbers, by shard as long as the worker has it", () => {
  const metrics = new AppMetrics(NAMES);
  for (const shardId of ["s1", "s2"]) metrics.add(claimed(shardId));
  metrics.add(batch("s1", { records: 3, lag: 9_000 }));
  metrics.add(batch("s1", { records: 4, lag: 5_000 }));
  metrics.add(batch("s2", { records: 0 }));
  assertEquals([metrics.counts.records, metrics.counts.bytes, metrics.counts.batches], [7, 700, 2]);
  assertEquals(metrics.shards.get("s1"), { records: 7, bytes: 700, millisBehindLatest: 5_000 });
  assertEquals(metrics.maxMillisBehind(), 5_000);
  metrics.add(released("s1"));
  assertEquals([...metrics.shards.keys()], ["s2"]);
  assertEquals(metrics.counts.records, 7);
  // A late batch of a shard that is gone must not bring it back.
  metrics.add(batch("s1"));
  assertEquals([...metrics.shards.keys()], ["s2"]);
  assertEquals(Object.fromEntries(metrics.counts.leases), { claimed: 2, released: 1 });
});

Deno.test("metrics: a batch is told with what failed in it, and no more than a few details", () => {
  const metrics = new AppMetrics(NAMES);
  const told: BatchDone[] = [];
  metrics.onBatch((batch) => told.push(batch));
  metrics.add(claimed("s1"));
  metrics.add(failed("s1", 1));
  metrics.add(skipped("s1"));
  metrics.add(batch("s1"));
  for (let attempt = 1; attempt <= 1_000; attempt++) metrics.add(failed("s1", attempt));
  metrics.add(batch("s1"));
  metrics.add(batch("s1"));
  assertEquals(told.map(({ failureCount }) => failureCount), [2, 1_000, 0]);
  assertEquals(told.map(({ failures }) => failures.length), [2, FAILURES_MAX, 0]);
  assertEquals(told[0]?.failures.map(({ kind }) => kind), ["attempt_failed", "record_skipped"]);
  assertEquals([metrics.counts.failures, metrics.counts.skips], [1_001, 1]);
  assertEquals(told[0]?.endedAt, Date.parse("2026-01-02T03:04:05.678Z"));
});

Deno.test("prometheus: a parser reads every metric, with its names and units", async () => {
  const metrics = new AppMetrics(NAMES);
  const prometheus = new PrometheusMetrics(metrics);
  metrics.measure({
    bufferedBytes: 12_345,
    health: () => ({ heartbeatAgeMs: 1_500, isFenced: false }),
    shards: () => [{ inHandMs: 250 }, { inHandMs: 0 }],
  });
  metrics.add(claimed("s1"));
  metrics.add(batch("s1", { records: 3, lag: 90_000, ms: 2_000 }));
  const retryInMs = 5;
  metrics.add(event({ type: "throttled", shardId: null, operation: "ListShards", retryInMs }));
  const text = await prometheus.text();
  const families = parsePrometheus(text) ?? [];
  assertEquals(families.length, METRICS.length + 1);
  assert(families.every(({ name }) => /^kinesix_[a-z_]+[a-z]$/.test(name)));
  const app = { app: 'app \\"1\\"', stream: "orders" };
  assertEquals(valueOf(text, "kinesix_records_total", { stream: "orders" }), 3);
  assert(text.includes(`kinesix_records_total{app="${app.app}",stream="orders"} 3`), text);
  assertEquals(valueOf(text, "kinesix_shard_lag_seconds", { shard: "s1" }), 90);
  assertEquals(valueOf(text, "kinesix_max_lag_seconds"), 90);
  assertEquals(valueOf(text, "kinesix_heartbeat_age_seconds"), 1.5);
  assertEquals(valueOf(text, "kinesix_in_hand_seconds"), 0.25);
  assertEquals(valueOf(text, "kinesix_buffered_bytes"), 12_345);
  assertEquals(valueOf(text, "kinesix_throttles_total", { operation: "ListShards" }), 1);
  const time = families.find(({ name }) => name === "kinesix_process_time_seconds");
  const { buckets } = time?.metrics[0] ?? {};
  assertEquals([time?.type, buckets?.["1"], buckets?.["2.5"]], ["HISTOGRAM", "0", "1"]);
});

Deno.test("prometheus: a shard that left is not shown any more, and a look changes nothing", async () => {
  const metrics = new AppMetrics(NAMES);
  const prometheus = new PrometheusMetrics(metrics);
  metrics.add(claimed("s1"));
  metrics.add(batch("s1", { records: 3 }));
  assertEquals(await prometheus.text(), await prometheus.text());
  metrics.add(released("s1"));
  const text = await prometheus.text();
  assertEquals(valueOf(text, "kinesix_shard_records_total", { shard: "s1" }), undefined);
  assert(!text.includes('shard="s1"'), text);
  assertEquals(valueOf(text, "kinesix_records_total"), 3);
});

Deno.test("metrics of 1,000 shards: what they cost", async () => {
  const metrics = new AppMetrics(NAMES);
  const prometheus = new PrometheusMetrics(metrics);
  const ids = Array.from({ length: 1_000 }, (_, i) => `shardId-${String(i).padStart(12, "0")}`);
  ids.forEach((id) => metrics.add(claimed(id)));
  const adding = performance.now();
  for (let round = 0; round < 100; round++) ids.forEach((id) => metrics.add(batch(id)));
  const perEventUs = (performance.now() - adding) / 100;
  const series = parsePrometheus(await prometheus.text())?.flatMap(({ metrics }) => metrics) ?? [];
  assert(series.length < 3_100, `${series.length} series`);
  const reading = performance.now();
  const bytes = new TextEncoder().encode(await prometheus.text()).length;
  const readMs = performance.now() - reading;
  assert(bytes < 500_000, `${bytes} bytes`);
  // Generous: the machine may be busy.
  assert(perEventUs < 50 && readMs < 500, `${perEventUs} us an event, ${readMs} ms a look`);
  ids.forEach((id) => metrics.add(released(id)));
  const rest = (await prometheus.text()).length;
  assert(rest < 8_000, `${rest} bytes when all have left`);
  const figures = `${series.length} series, ${bytes} bytes, ${readMs.toFixed(1)} ms a look`;
  Deno.stdout.writeSync(
    new TextEncoder().encode(`      ${figures}, ${perEventUs.toFixed(2)} us an event\n`),
  );
});

Deno.test("observe: the numbers of a running app, its start included", async () => {
  const stream = new MemoryStream({ shards: 2 });
  for (let i = 0; i < 10; i++) stream.put(`key-${i}`, "x");
  const done = Promise.withResolvers<void>();
  let records = 0;
  await using app = await ReactoKinesixApp.createNew({
    appName: "TestApp",
    streamName: "TestStream",
    processor: { process: () => void ((records += 1) === 10 && done.resolve()) },
    ports: { store: new MemoryLeaseStore(), source: stream },
  });
  const metrics = observe(app);
  await done.promise;
  assertEquals([metrics.appName, metrics.streamName], ["TestApp", "TestStream"]);
  await app.stop();
  // What was told in the start is delivered a moment later.
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(metrics.counts.records, 10);
  assertEquals(metrics.counts.leases.get("claimed"), 2);
  assertEquals(metrics.vitals()?.isFenced, false);
  assertEquals(metrics.shards.size, 0);
});

Deno.test("metrics: each is in the guide to operating, by the name that Prometheus has for it", async () => {
  const guide = await Deno.readTextFile(new URL("../../docs/operating.md", import.meta.url));
  const names = [...METRICS.map(prometheusName), `kinesix_${PROCESS_TIME.name}_seconds`];
  assertEquals(names.filter((name) => !guide.includes(`| \`${name}\``)), []);
});
