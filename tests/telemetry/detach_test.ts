// Numbers that are disposed let go: of the app, and of the providers of OpenTelemetry.
import { metrics as globalMetrics } from "@opentelemetry/api";
import { assertEquals } from "@std/assert";
import type { AppEvent } from "../../src/events.ts";
import { AppMetrics, observe } from "../../src/telemetry/app_metrics.ts";
import { exportToOpenTelemetry } from "../../src/telemetry/open_telemetry.ts";
import { batch, claimed } from "./events.ts";

/** An app of which one sees who listens. */
function fakeApp() {
  const listeners = new Set<(event: AppEvent) => void>();
  return {
    listeners,
    appName: "A",
    streamName: "S",
    bufferedBytes: 1,
    health: () => ({ heartbeatAgeMs: 1, isFenced: false }),
    shards: () => [],
    addEventListener: (_type: "*", listener: (event: AppEvent) => void) =>
      void listeners.add(listener),
    removeEventListener: (_type: "*", listener: (event: AppEvent) => void) =>
      void listeners.delete(listener),
  };
}

Deno.test("observe: disposed, the numbers leave the app, and only the counts stay", () => {
  const app = fakeApp();
  const metrics = observe(app);
  for (const listener of app.listeners) listener(claimed("s1"));
  for (const listener of app.listeners) listener(batch("s1", { records: 3 }));
  assertEquals([app.listeners.size, metrics.shards.size, metrics.vitals()?.bufferedBytes], [
    ...[1, 1, 1],
  ]);
  metrics[Symbol.dispose]();
  assertEquals([app.listeners.size, metrics.shards.size, metrics.vitals()], [0, 0, undefined]);
  assertEquals(metrics.counts.records, 3);
  metrics[Symbol.dispose]();
});

Deno.test("metrics: whoever measures another app by now is not disturbed", () => {
  const metrics = new AppMetrics({ appName: "A", streamName: "S" });
  const first = metrics.measure(fakeApp());
  metrics.measure({ ...fakeApp(), bufferedBytes: 2 });
  first[Symbol.dispose]();
  assertEquals(metrics.vitals()?.bufferedBytes, 2);
});

Deno.test("metrics: a listener to batches that was taken off hears no more, another one of its kind does", () => {
  const metrics = new AppMetrics({ appName: "A", streamName: "S" });
  let heard = 0;
  const listener = (): void => void heard++;
  const first = metrics.onBatch(listener);
  metrics.onBatch(listener);
  metrics.add(batch("s1", { records: 1 }));
  first[Symbol.dispose]();
  metrics.add(batch("s1", { records: 1 }));
  assertEquals(heard, 3);
});

Deno.test("OpenTelemetry: disposed, the providers read nothing any more, and are told of no batch", () => {
  const callbacks = new Set<unknown>();
  let times = 0;
  const instrument = {
    addCallback: (callback: unknown) => void callbacks.add(callback),
    removeCallback: (callback: unknown) => void callbacks.delete(callback),
    record: () => void times++,
  };
  const make = () => instrument;
  const meter = {
    createObservableCounter: make,
    createObservableGauge: make,
    createHistogram: make,
  };
  globalMetrics.setGlobalMeterProvider({ getMeter: () => meter } as never);
  try {
    const metrics = new AppMetrics({ appName: "A", streamName: "S" });
    const exported = exportToOpenTelemetry(metrics);
    metrics.add(batch("s1", { records: 1 }));
    assertEquals([callbacks.size > 10, times], [true, 1]);
    exported[Symbol.dispose]();
    metrics.add(batch("s1", { records: 1 }));
    assertEquals([callbacks.size, times], [0, 1]);
  } finally {
    globalMetrics.disable();
  }
});
