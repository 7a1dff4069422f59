/**
 * Owns: the SDK clients: where they connect, with what credentials, over which sockets; and the one way to retry.
 * Must not: know what is called. It loads the SDK only when a client is made.
 * Called by: `world.ts` and the other adapters.
 *
 * @module
 */

import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { retry, RetryError } from "@std/async/retry";
import { classify, explain, type FailedCall, type Failure, isRetriable } from "./aws_errors.ts";

/** A client of the AWS SDK v3. Its class is checked by what it says of itself, since the SDK's types differ between versions. */
export interface SdkClient {
  /** Sends a command. */
  send(...command: never[]): unknown;
  /** Closes its connections. */
  destroy(): void;
  /** Its settings. */
  readonly config: {
    /** Which service it is for, such as `Kinesis`. */
    readonly serviceId: string;
  };
}

/** How to reach AWS. What is not given comes from the environment, as in every AWS SDK. */
export interface AwsOptions {
  /** The AWS region, such as `us-east-1`. */
  readonly region?: string;
  /** Fixed credentials, instead of the default chain (environment, profile, SSO, web identity, ECS, EC2). */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** The URL of Kinesis, for a local one. */
  readonly kinesisEndpoint?: string;
  /** The URL of DynamoDB, for a local one. */
  readonly dynamoDBEndpoint?: string;
  /**
   * A `KinesisClient` of yours, for example a mocked one. The app does not close it, and retries by its own rules. With `retrieval`
   * `fan-out` its connections have to carry event streams, and to end them when they are aborted.
   */
  readonly kinesis?: SdkClient;
  /** A `DynamoDBClient` of yours, for example a mocked one. The app does not close it, and retries by its own rules. */
  readonly dynamoDB?: SdkClient;
}

/** The clients of an app. Each is made when it is first asked for: until then its part of the SDK is not even loaded. */
export interface AwsClients {
  kinesis(): Promise<KinesisClient>;
  dynamoDB(): Promise<DynamoDBClient>;
  /** A Kinesis client whose connections carry event streams: what SubscribeToShard needs. */
  eventStreams(): Promise<KinesisClient>;
  /** Closes the connections of the clients that were made here. */
  close(): void;
}

/** How a call that may be made again is made again. */
export interface RetryOptions {
  /** Attempts after the first one. */
  readonly retries: number;
  readonly signal: AbortSignal;
  /** Is told when AWS asks to slow down and the call will be made again, at most so many milliseconds later. */
  readonly onThrottled?: (retryInMs: number) => void;
}

/** Until an answer begins, and between its parts; a heartbeat that hangs must fail in time for another attempt. */
const SILENCE_MAX_MS = 10_000;

const RETRY_DELAY_MS = 200;
const RETRY_DELAY_MAX_MS = 5_000;
const RETRY_DELAY_FACTOR = 2;

/**
 * The clients that are given, and others for those that are not.
 *
 * @throws {TypeError} If one that is given is for something else.
 */
export function connectAws(options: AwsOptions): AwsClients {
  const { kinesis, dynamoDB } = options;
  const givenKinesis = kinesis && clientFor<KinesisClient>("Kinesis", "kinesis", kinesis);
  const givenDynamoDB = dynamoDB && clientFor<DynamoDBClient>("DynamoDB", "dynamoDB", dynamoDB);
  const own: { destroy(): void }[] = [];
  let isClosed = false;
  const keep = <C extends { destroy(): void }>(client: C): C => {
    // Whoever asks late gets one that keeps no connection.
    if (isClosed) client.destroy();
    else own.push(client);
    return client;
  };
  const clientOr = <C extends { destroy(): void }>(
    given: C | undefined,
    make: () => Promise<C>,
  ): () => Promise<C> => {
    const open = async (): Promise<C> => given ?? keep(await make());
    let client: Promise<C> | undefined;
    return () => client ??= open();
  };
  return {
    kinesis: clientOr(givenKinesis, () => newKinesisClient(options)),
    dynamoDB: clientOr(givenDynamoDB, () => newDynamoDBClient(options)),
    eventStreams: clientOr(givenKinesis, () => newEventStreamClient(options)),
    close() {
      isClosed = true;
      own.splice(0).forEach((client) => client.destroy());
    },
  };
}

/**
 * Makes a call again that failed because it was throttled or not answered; exponential back-off with jitter. Only for
 * calls that may happen twice.
 *
 * @throws The last error of the call, or the signal's reason once it is aborted.
 */
export async function retryCall<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { retries, signal, onThrottled } = options;
  let attempt = 0;
  try {
    return await retry(call, {
      signal,
      maxAttempts: retries + 1,
      minTimeout: RETRY_DELAY_MS,
      maxTimeout: RETRY_DELAY_MAX_MS,
      multiplier: RETRY_DELAY_FACTOR,
      isRetriable: (error) => {
        if (signal.aborted || !isRetriable(error)) return false;
        const delayMs = Math.min(
          RETRY_DELAY_MAX_MS,
          RETRY_DELAY_MS * RETRY_DELAY_FACTOR ** attempt,
        );
        if (attempt < retries && classify(error).kind === "throttled") onThrottled?.(delayMs);
        attempt++;
        return true;
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof RetryError ? error.cause : error;
  }
}

/** What an error of a call means, and the message about it for people. */
export async function describeFailure(
  error: unknown,
  call: Omit<FailedCall, "region" | "endpoint"> & {
    readonly client: DynamoDBClient | KinesisClient;
  },
): Promise<Failure & { readonly message: string }> {
  const { region, endpoint } = await whereabouts(call.client);
  return { ...classify(error), message: explain(error, { ...call, region, endpoint }) };
}

/**
 * Takes the SDK's own retries off a command, whatever client sends it: a retry of a conditional write that was applied
 * looks like a conflict, and a wait of the SDK outlives an abort.
 */
export function withoutRetries<T extends Command>(command: T): T {
  command.middlewareStack.add((next) => next, {
    name: "retryMiddleware",
    step: "finalizeRequest",
    priority: "high",
    override: true,
  });
  return command;
}

/** The part of an SDK command that its retries hang on. */
interface Command {
  readonly middlewareStack: {
    add(
      middleware: <H>(next: H) => H,
      options: {
        readonly name: string;
        readonly step: "finalizeRequest";
        readonly priority: "high";
        readonly override: true;
      },
    ): void;
  };
}

function clientFor<C extends SdkClient>(service: string, option: string, client: SdkClient): C {
  if (client.config?.serviceId === service) return client as C;
  throw new TypeError(
    `Cannot use option "${option}": it must be a ${service}Client of the AWS SDK v3; given one for ` +
      `${client.config?.serviceId ?? "no service"}`,
  );
}

async function newKinesisClient(options: AwsOptions): Promise<KinesisClient> {
  const { KinesisClient } = await import("@aws-sdk/client-kinesis");
  const { FetchHandler } = await import("./fetch_handler.ts");
  const { callGetRecordsLean } = await import("./lean_get_records.ts");
  const client = new KinesisClient({
    ...commonConfig(options, options.kinesisEndpoint),
    requestHandler: new FetchHandler({ silenceMaxMs: SILENCE_MAX_MS, connections: "kept" }),
  });
  callGetRecordsLean(client);
  // It goes through every field of every answer, for a log that nobody has asked for.
  client.middlewareStack.remove("loggerMiddleware");
  return client;
}

async function newEventStreamClient(options: AwsOptions): Promise<KinesisClient> {
  const { KinesisClient } = await import("@aws-sdk/client-kinesis");
  const { FetchHandler } = await import("./fetch_handler.ts");
  const { FastEventMarshaller } = await import("./fast_events.ts");
  return new KinesisClient({
    ...commonConfig(options, options.kinesisEndpoint),
    requestHandler: new FetchHandler({ silenceMaxMs: SILENCE_MAX_MS, connections: "own" }),
    eventStreamSerdeProvider: (options) => new FastEventMarshaller(options),
  });
}

async function newDynamoDBClient(options: AwsOptions): Promise<DynamoDBClient> {
  const { DynamoDBClient } = await import("@aws-sdk/client-dynamodb");
  const { FetchHandler } = await import("./fetch_handler.ts");
  return new DynamoDBClient({
    ...commonConfig(options, options.dynamoDBEndpoint),
    requestHandler: new FetchHandler({ silenceMaxMs: SILENCE_MAX_MS, connections: "kept" }),
  });
}

function commonConfig({ region, credentials }: AwsOptions, endpoint: string | undefined) {
  return {
    ...(region !== undefined && { region }),
    ...(credentials !== undefined && { credentials }),
    ...(endpoint !== undefined && { endpoint }),
    maxAttempts: 1,
  };
}

async function whereabouts(
  { config }: DynamoDBClient | KinesisClient,
): Promise<Pick<FailedCall, "region" | "endpoint">> {
  // A client without a region throws when it is asked for it; that is what the message is about then.
  const region = await config.region().catch(() => undefined);
  const endpoint = await config.endpoint?.();
  if (endpoint === undefined) return { region, endpoint: await configuredEndpoint(config) };
  const { protocol, hostname, port } = endpoint;
  return { region, endpoint: `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}` };
}

/** The endpoint that the environment or the profile names, which the SDK keeps apart; undefined without any. */
async function configuredEndpoint(config: object): Promise<string | undefined> {
  if (!("serviceConfiguredEndpoint" in config)) return undefined;
  const ask = config.serviceConfiguredEndpoint;
  const endpoint: unknown = typeof ask === "function" ? await ask() : undefined;
  return typeof endpoint === "string" ? endpoint.replace(/\/$/, "") : undefined;
}
