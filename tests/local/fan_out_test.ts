// Proves enhanced fan-out over real connections: renewals under load, their end, HTTP/2, and what a connection does not share.
import { CreateStreamCommand } from "@aws-sdk/client-kinesis";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { SourceError } from "../../src/errors.ts";
import type { AppFact } from "../../src/events.ts";
import { KinesisEngine } from "../../src/local/kinesis_engine.ts";
import { KinesisProtocol } from "../../src/local/kinesis_protocol.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { Subscription } from "../../src/local/subscription.ts";
import { tell, waitFor } from "./cluster.ts";

const STREAM = "orders";
const SHARD = "shardId-000000000000";
const TRIM_HORIZON = { kind: "trimHorizon" } as const;
const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

Deno.test("renewals under load: nothing is lost, nothing comes twice, and nothing waits", async () => {
  let subscribed = 0;
  await using server = serveLocalKinesis({
    port: 0,
    subscriptionTimes: { lifetimeMs: 1_200, inUseMs: 0, callIntervalMs: 1_000 },
    intercept: ({ operation }, proceed) => {
      if (operation === "SubscribeToShard") subscribed++;
      return proceed();
    },
  });
  await using test = await connect(server.url);
  const total = 500;
  const load = (async () => {
    for (let i = 0; i < total; i++) {
      const Data = btoa(`${i} ${performance.now()}`);
      server.engine.call("PutRecord", { StreamName: STREAM, PartitionKey: "k", Data });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  const seen: number[] = [];
  const latencies: number[] = [];
  const { signal } = new AbortController();
  for await (const batch of test.source.open(SHARD, TRIM_HORIZON, signal)) {
    for (const { data } of batch.records) {
      const [i, putAt] = new TextDecoder().decode(data).split(" ").map(Number);
      seen.push(i ?? -1);
      latencies.push(performance.now() - (putAt ?? 0));
    }
    if (seen.length >= total) break;
  }
  await load;
  assertEquals(seen, Array.from({ length: total }, (_, i) => i));
  assertEquals(test.facts, []);
  latencies.sort((a, b) => a - b);
  const [median = 0, worst = 0] = [latencies[total / 2], latencies.at(-1)];
  tell(
    `${subscribed} subscriptions; from put to read ${median.toFixed(1)} ms (median), ${
      worst.toFixed(0)
    } ms at most`,
  );
  assert(subscribed >= 4, `${subscribed}`);
  assert(worst < 1_000, `${worst}`);
});

Deno.test("a reader that leaves, or is aborted, ends its connection", async () => {
  const subscriptions: Subscription[] = [];
  await using server = serveLocalKinesis({
    port: 0,
    subscriptionTimes: { inUseMs: 0, callIntervalMs: 0 },
    intercept: (_, proceed) => {
      const output = proceed();
      if (output instanceof Subscription) subscriptions.push(output);
      return output;
    },
  });
  await using test = await connect(server.url);
  for (const isAborted of [true, false]) {
    const controller = new AbortController();
    const batches = test.source.open(SHARD, TRIM_HORIZON, controller.signal);
    await batches.next();
    // What the platform holds of the connection must be found however much it forgot of the rest.
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc");
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const start = performance.now();
    if (isAborted) {
      const pending = batches.next();
      controller.abort(new RangeError("enough"));
      await assertRejects(() => pending, RangeError, "enough");
    }
    await batches.return(undefined);
    await waitFor(() => subscriptions.at(-1)?.next().kind === "end", {
      what: "the service to see that nobody reads",
      within: 2_000,
    });
    assert(performance.now() - start < 1_000);
  }
});

Deno.test("a service that goes away and comes back costs no record", async () => {
  const first = serveLocalKinesis({ port: 0 });
  await using test = await connect(first.url);
  const port = Number(new URL(first.url).port);
  const batches = test.source.open(SHARD, TRIM_HORIZON, new AbortController().signal);
  await batches.next();
  const pending = batches.next();
  pending.catch(() => {});
  // With a subscription open.
  const start = performance.now();
  await first.close();
  assert(performance.now() - start < 1_000, "it closes at once");
  const error = await assertRejects(() => pending, SourceError);
  assertEquals(error.kind, "unavailable");
  assert(
    /^Cannot reach Kinesis at http:\/\/127\.0\.0\.1:\d+: .*refused/.test(error.message),
    error.message,
  );
  await using second = serveLocalKinesis({ port });
  second.engine.call("CreateStream", { StreamName: STREAM, ShardCount: 1 });
  second.engine.call("PutRecord", { StreamName: STREAM, PartitionKey: "k", Data: "AQ==" });
  const again = test.source.open(SHARD, TRIM_HORIZON, new AbortController().signal);
  assertEquals((await again.next()).value?.records.length, 1);
  await again.return(undefined);
});

Deno.test("over TLS it is HTTP/2, and each subscription has a connection of its own", async () => {
  const folder = new URL("./tls/", import.meta.url);
  const read = (name: string) => Deno.readTextFile(new URL(name, folder));
  const [cert, key] = await Promise.all([read("certificate.pem"), read("key.pem")]);
  const engine = new KinesisEngine();
  const protocol = new KinesisProtocol(engine, {});
  const ports = new Set<number>();
  const options = { port: 0, hostname: "127.0.0.1", cert, key, onListen: () => {} };
  await using server = Deno.serve(options, async (request, { remoteAddr }) => {
    const target = request.headers.get("x-amz-target") ?? "";
    if (target.endsWith("SubscribeToShard")) {
      ports.add(remoteAddr.port);
      // Every request of HTTP/1.1 has it, and none of HTTP/2.
      assertEquals(request.headers.get("host"), null);
    }
    const { body, ...init } = await protocol.dispatch(target, await request.text());
    return new Response(body, init);
  });
  const shards = 4;
  engine.call("CreateStream", { StreamName: STREAM, ShardCount: shards });
  for (let i = 0; i < 40; i++) {
    engine.call("PutRecord", { StreamName: STREAM, PartitionKey: `k${i}`, Data: "AQ==" });
  }
  const authority = new URL("authority.pem", folder).pathname;
  const script = new URL("./fan_out_over_tls.ts", import.meta.url).pathname;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script, `https://localhost:${server.addr.port}`],
    env: { DENO_CERT: authority },
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(JSON.parse(new TextDecoder().decode(stdout)), { records: 40 });
  assertEquals(ports.size, shards);
});

async function connect(kinesisEndpoint: string) {
  const aws = connectAws({ ...AWS, kinesisEndpoint });
  const client = await aws.kinesis();
  await client.send(new CreateStreamCommand({ StreamName: STREAM, ShardCount: 1 }));
  const facts: AppFact[] = [];
  const source = new KinesisFanOutSource({
    client,
    eventStreams: await aws.eventStreams(),
    streamName: STREAM,
    consumerName: "billing",
    config: resolveConfig({ maxKinesisRetries: 2 }),
    clock: systemClock,
    emit: (fact) => facts.push(fact),
  });
  return { source, facts, [Symbol.asyncDispose]: () => Promise.resolve(aws.close()) };
}
