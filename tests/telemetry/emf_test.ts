import { assert, assertEquals } from "@std/assert";
import { AppMetrics } from "../../src/telemetry/app_metrics.ts";
import { EmfMetrics } from "../../src/telemetry/emf.ts";
import { batch, claimed } from "./events.ts";

/** The units of https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html that are used. */
const UNITS = ["Count", "Bytes", "Seconds"];

interface Line {
  readonly _aws: {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
  readonly [member: string]: unknown;
}

/** Reads a line as the documented format says: each name is a member of the root, each metric a number or up to 100. */
function read(text: string): Line {
  assert(!text.includes("\n"));
  assert(new TextEncoder().encode(text).length < 1_000_000);
  const line = JSON.parse(text) as Line;
  assert(Number.isInteger(line._aws.Timestamp));
  for (const { Namespace, Dimensions, Metrics } of line._aws.CloudWatchMetrics) {
    assert(/^.{1,1024}$/.test(Namespace));
    assert(Metrics.length <= 100);
    assertEquals(new Set(Metrics.map(({ Name }) => Name)).size, Metrics.length);
    for (const set of Dimensions) {
      assert(set.length <= 30);
      for (const name of set) assert(/^.{1,1024}$/.test(String(line[name])), name);
    }
    for (const { Name, Unit } of Metrics) {
      const value = line[Name];
      const values = Array.isArray(value) ? value : [value];
      assert(values.length >= 1 && values.length <= 100, Name);
      assert(values.every((value) => typeof value === "number" && Number.isFinite(value)), Name);
      assert(UNITS.includes(Unit), Unit);
    }
  }
  return line;
}

Deno.test("emf: a line is what the format asks for, and counts since the one before", () => {
  const metrics = new AppMetrics({ appName: "billing", streamName: "orders" });
  const emf = new EmfMetrics(metrics);
  metrics.add(claimed("s1"));
  metrics.add(batch("s1", { records: 3, lag: 4_000, ms: 250 }));
  const first = read(emf.line(1_700_000_000_000, "w"));
  assertEquals(first._aws.Timestamp, 1_700_000_000_000);
  assertEquals(first._aws.CloudWatchMetrics[0]?.Namespace, "Kinesix");
  assertEquals(first._aws.CloudWatchMetrics[0]?.Dimensions, [["App", "Stream"]]);
  assertEquals([first.App, first.Stream, first.WorkerId], ["billing", "orders", "w"]);
  assertEquals([first.Records, first.MaxLag, first.ProcessTime], [3, 4, [0.25]]);
  metrics.add(batch("s1", { records: 2 }));
  const second = read(emf.line(1_700_000_060_000, "w"));
  assertEquals([second.Records, second.Batches, second.MaxLag], [2, 1, 0]);
  const third = read(emf.line(1_700_000_120_000, "w"));
  assertEquals([third.Records, third.ProcessTime], [0, undefined]);
});

Deno.test("emf: no metric for each shard, and at most 100 values, evenly spread", () => {
  const metrics = new AppMetrics({ appName: "billing", streamName: "orders" });
  const emf = new EmfMetrics(metrics);
  for (let i = 0; i < 1_000; i++) metrics.add(claimed(`s${i}`));
  for (let i = 0; i < 10_000; i++) metrics.add(batch(`s${i % 1_000}`, { ms: i }));
  const text = emf.line(1_700_000_000_000, "w");
  const line = read(text);
  assert(text.length < 4_000, `${text.length} characters`);
  const times = line.ProcessTime as readonly number[];
  assert(times.length >= 50 && times.length <= 100, `${times.length} values`);
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  assert(Math.abs(mean - 5) < 0.3, `${mean} s is the mean of 0 to 10 s`);
  assertEquals(line.Records, 100_000);
});
