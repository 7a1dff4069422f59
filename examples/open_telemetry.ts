// Metrics and traces of a consumer of one's own. Deno exports them; here, to a collector on this machine:
//   OTEL_DENO=true OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_SERVICE_NAME=billing \
//     deno run -A examples/open_telemetry.ts orders
import { metrics, trace } from "@opentelemetry/api";
import { ReactoKinesixApp } from "@reacto/kinesix";
import { exportToOpenTelemetry, observe } from "@reacto/kinesix/telemetry";

// What the library cannot know: your own numbers and spans, beside its own.
const billed = metrics.getMeter("billing").createCounter("billing.total", { unit: "EUR" });
const tracer = trace.getTracer("billing");

const [streamName = "orders"] = Deno.args;
await using app = await ReactoKinesixApp.createNew({
  appName: "Traced",
  streamName,
  processor: {
    process: (record) =>
      tracer.startActiveSpan("bill", (span) => {
        try {
          const { id, total } = record.json<{ id: string; total: number }>();
          span.setAttribute("order.id", id);
          billed.add(total);
        } catch (error) {
          span.recordException(error instanceof Error ? error : String(error));
          throw error;
        } finally {
          span.end();
        }
      }),
  },
});
// kinesix.records, kinesix.shard.lag and the rest, and a span for each batch.
exportToOpenTelemetry(observe(app));
Deno.addSignalListener("SIGINT", () => void app.stop());
await app.finished;
