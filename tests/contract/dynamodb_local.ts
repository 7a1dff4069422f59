// Owns: starting Amazon's DynamoDB Local, where its jar and Java are there.
// Must not: download anything.
// Called by: lease_store_contract_test.ts.
//
// The jar and what it needs come from Maven: put the dependencies of com.amazonaws:DynamoDBLocal into one directory
// (`mvn dependency:copy-dependencies`) and name it in KINESIX_DYNAMODB_LOCAL.
import { createServer } from "node:net";

/** A DynamoDB Local that is listening. */
export interface AmazonDynamoDB extends AsyncDisposable {
  readonly url: string;
}

/** The directory with the jars; undefined if it is not set. */
export const dynamoDBLocalDirectory: string | undefined = Deno.env.get("KINESIX_DYNAMODB_LOCAL");

const START_MS_MAX = 20_000;

/** Starts it in a process of its own, with its tables in memory. */
export async function startAmazonDynamoDB(directory: string): Promise<AmazonDynamoDB> {
  const port = await freePort();
  const main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner";
  const child = new Deno.Command("java", {
    args: ["-cp", `${directory}/*`, main, "-inMemory", "-port", String(port)],
    cwd: directory,
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `http://127.0.0.1:${port}`;
  await untilReachable(url);
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

async function untilReachable(url: string): Promise<void> {
  const deadline = performance.now() + START_MS_MAX;
  while (performance.now() < deadline) {
    try {
      await (await fetch(url)).body?.cancel();
      return;
    } catch (error) {
      // It takes some seconds until it listens.
      if (!(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`Cannot reach DynamoDB Local at ${url} after ${START_MS_MAX} ms`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        resolve(typeof address === "object" && address !== null ? address.port : 0)
      );
    });
  });
}
