/**
 * Owns: a local Kinesis and a local DynamoDB that start and stop together.
 * Must not: print.
 * Called by: `local.ts` and `demo.ts`.
 *
 * @module
 */

import { startLocalDynamoDB } from "../local/dynamodb_server.ts";
import { KinesisError } from "../local/kinesis_error.ts";
import { serveLocalKinesis } from "../local/kinesis_server.ts";
import { messageOf } from "../errors.ts";

/** A local stack that is listening. */
export interface LocalStack extends AsyncDisposable {
  /** The URL of Kinesis. */
  readonly kinesisEndpoint: string;
  /** The URL of DynamoDB. */
  readonly dynamoDBEndpoint: string;
  /** Creates a stream that is active at once. */
  createStream(streamName: string, shards: number): void;
}

/** Starts both servers on this machine's loopback address. Port 0 is a free one. */
export async function startLocalStack(
  ports: { readonly kinesis: number; readonly dynamoDB: number },
): Promise<LocalStack> {
  await using started = new AsyncDisposableStack();
  const kinesis = await listening("Kinesis", ports.kinesis, (port) => serveLocalKinesis({ port }));
  started.use(kinesis);
  const dynamoDB = await listening(
    "DynamoDB",
    ports.dynamoDB,
    (port) => startLocalDynamoDB({ port }),
  );
  started.use(dynamoDB);
  const running = started.move();
  return {
    kinesisEndpoint: kinesis.url,
    dynamoDBEndpoint: dynamoDB.url,
    createStream(streamName, shards) {
      try {
        kinesis.engine.call("CreateStream", { StreamName: streamName, ShardCount: shards });
      } catch (error) {
        if (!(error instanceof KinesisError)) throw error;
        throw new Error(`Cannot create stream "${streamName}": ${error.message}`, { cause: error });
      }
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function listening<T>(
  service: string,
  port: number,
  listen: (port: number) => T | Promise<T>,
): Promise<T> {
  try {
    return await listen(port);
  } catch (error) {
    const flag = `--${service.toLowerCase()}-port`;
    const isInUse = error instanceof Deno.errors.AddrInUse ||
      (error instanceof Error && "code" in error && error.code === "EADDRINUSE");
    const reason = isInUse
      ? `another program listens there; give another port with ${flag}, or 0 for a free one`
      : messageOf(error);
    throw new Error(`Cannot listen on port ${port} for ${service}: ${reason}`, { cause: error });
  }
}
