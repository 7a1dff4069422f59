// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// A consumer and an HTTP server in one process: the server answers with what the consumer counted. SIGINT and SIGTERM stop both:
//   deno run -A examples/serve.ts orders 8081
//   curl http://127.0.0.1:8081/totals/customer-1
import { ReactoKinesixApp } from "@reacto/kinesix";

/** By customer. In memory, and of the shards of this worker only: a real one would be in a database. */
const totals = new Map<string, number>();

const [streamName = "orders", port = "8081"] = Deno.args;
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());
// What containers and systemd send; Windows has none.
if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", () => stop.abort());

const app = await ReactoKinesixApp.createNew({
  appName: "Totals",
  streamName,
  processor: {
    process(record) {
      const { total } = record.json<{ total: number }>();
      totals.set(record.partitionKey, (totals.get(record.partitionKey) ?? 0) + total);
    },
  },
  signal: stop.signal,
});

function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/healthz") {
    const { isFenced } = app.health();
    return new Response(isFenced ? "cut off from DynamoDB" : "ok", {
      status: isFenced ? 503 : 200,
    });
  }
  const [, customer = ""] = /^\/totals\/(.+)$/.exec(pathname) ?? [];
  const total = totals.get(decodeURIComponent(customer));
  return total === undefined
    ? new Response("nothing known of that customer", { status: 404 })
    : Response.json({ customer, total });
}

const server = Deno.serve({ port: Number(port), hostname: "127.0.0.1" }, answer);
stop.signal.addEventListener("abort", () => void server.shutdown()); // It still answers what it was asked.
try {
  await app.finished;
} finally {
  stop.abort(); // A consumer that cannot go on must not look alive.
  await server.finished;
}
console.log("stopped");
