// Owns: the Kinesis services that the contract suites talk to, each behind a client of the AWS SDK, and trying claims on each.
// Must not: know what is claimed.
// Called by: kinesis_api_contract_test.ts, fan_out_api_contract_test.ts.
import {
  KinesisClient,
  type KinesisClientConfig,
  ListStreamsCommand,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";

/** A service that is up. */
interface Backend extends AsyncDisposable {
  readonly client: KinesisClient;
}

/** Something that holds of a service, tried with a stream of this name, which is not there yet. */
export interface Claim {
  readonly claim: string;
  readonly holds: (client: KinesisClient, streamName: string) => Promise<void>;
}

/** Makes a test of each service; kinesis-local is not held to `exactClaims`, which AWS and we keep. */
export function proveContract(
  contract: string,
  claims: readonly Claim[],
  exactClaims: readonly Claim[],
): void {
  const services = [
    ["the local Kinesis over HTTP", startOverHttp, [...claims, ...exactClaims]],
    ["the local Kinesis in memory", startInMemory, [...claims, ...exactClaims]],
    ["kinesis-local", startKinesisLocal, claims],
  ] as const;
  for (const [service, start, claims] of services) {
    Deno.test(`${service} keeps the contract of ${contract}`, async (t) => {
      await using backend = await start();
      for (const [index, { claim, holds }] of claims.entries()) {
        await t.step(claim, () => holds(backend.client, `stream-${index}`));
      }
    });
  }
}

export function makeClient(config: KinesisClientConfig): KinesisClient {
  return new KinesisClient({
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    maxAttempts: 1,
    ...config,
  });
}

/** Ours, over HTTP. */
function startOverHttp(): Promise<Backend> {
  const server = serveLocalKinesis({ port: 0 });
  const client = makeClient({ endpoint: server.url, requestHandler: new NodeHttpHandler() });
  return Promise.resolve({
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await server.close();
    },
  });
}

/** Ours, in memory. */
function startInMemory(): Promise<Backend> {
  const client = makeClient({ requestHandler: createInMemoryKinesis() });
  return Promise.resolve({
    client,
    [Symbol.asyncDispose]() {
      client.destroy();
      return Promise.resolve();
    },
  });
}

/** kinesis-local, which others wrote, in a process of its own that only this machine can reach. */
async function startKinesisLocal(): Promise<Backend> {
  const program = import.meta.resolve("kinesis-local");
  const port = freePort();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      `--preload=${import.meta.resolve("./loopback_only.ts")}`,
      "--allow-net=127.0.0.1,0.0.0.0",
      "--allow-env",
      "--allow-read",
      "--allow-sys",
      program,
    ],
    env: {
      KINESIS_MOCK_PLAIN_PORT: String(port),
      KINESIS_MOCK_TLS_PORT: String(freePort()),
      KINESIS_MOCK_CERT_PATH: new URL("server.json", program).pathname,
      CREATE_STREAM_DURATION: "1ms",
      DELETE_STREAM_DURATION: "1ms",
      SPLIT_SHARD_DURATION: "1ms",
      MERGE_SHARDS_DURATION: "1ms",
      UPDATE_SHARD_COUNT_DURATION: "1ms",
      REGISTER_STREAM_CONSUMER_DURATION: "1ms",
      LOG_LEVEL: "ERROR",
    },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const endpoint = `http://127.0.0.1:${port}`;
  const client = makeClient({ endpoint, requestHandler: new NodeHttpHandler() });
  await untilItAnswers(client);
  return {
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilItAnswers(client: KinesisClient): Promise<void> {
  const attemptsMax = 1_000;
  for (let attempt = 1;; attempt++) {
    try {
      await client.send(new ListStreamsCommand({}));
      return;
    } catch (error) {
      // It needs half a second to start; until then nothing listens.
      if (attempt === attemptsMax) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
