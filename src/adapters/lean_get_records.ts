/**
 * Owns: calling GetRecords without the way that the SDK takes to each call: endpoint and headers are those of a call that the SDK
 * made before, signed by its signer with its credentials; the answer is read by `fast_get_records.ts`.
 * Must not: give or throw anything that the SDK would not for the same answer.
 * Called by: `aws_calls.ts`, for the clients that are made there.
 *
 * For each call the SDK puts some fifteen middlewares together, finds its endpoint and names itself anew. A worker makes this call up
 * to five times a second for each shard, also when there is nothing to read.
 *
 * @module
 */

import {
  GetRecordsCommand,
  type GetRecordsOutput,
  type KinesisClient,
} from "@aws-sdk/client-kinesis";
import { HttpRequest, type HttpResponse } from "@smithy/core/protocols";
import { Base64Decoder, isUsualAnswer } from "./fast_get_records.ts";
import { isLate, LateAnswer } from "./late_answer.ts";

/** How a call looks before it is signed, and who signs it. */
interface KnownCall {
  readonly request: HttpRequest;
  readonly signer: Signer;
  readonly signingProperties: object;
}

/** What the SDK signs with; its type is not exported, and nothing of it is sure. */
interface Signer {
  sign(request: HttpRequest, identity: unknown, properties: object): Promise<HttpRequest>;
  /** Learns from an answer how far the clock of this machine is off. */
  successHandler?(response: HttpResponse, properties: object): void;
}

/** What the middlewares of the SDK tell each other. */
interface CallContext {
  readonly __smithy_context?: {
    readonly selectedHttpAuthScheme?: {
      readonly signer?: Partial<Signer>;
      readonly httpAuthOption?: { readonly signingProperties?: object };
    };
  };
}

const TARGET = "x-amz-target";
/** Other operations have other endpoints, as soon as the credentials name their account. */
const LEARNED_FROM = ".GetRecords";

/** Has a client call GetRecords the lean way, once the SDK has called it. If the SDK is not built as is expected here, it makes all calls. */
export function callGetRecordsLean(client: KinesisClient): void {
  keepSigner(client);
  let known: KnownCall | undefined;
  let isLearning = false;
  const learned = Promise.withResolvers<void>();
  client.middlewareStack.add((next, context) => (args) => {
    known ??= knownCall(args.request, context);
    if (known !== undefined) learned.resolve();
    return next(args);
  }, { name: "rememberCallMiddleware", step: "build", priority: "low" });
  const decoder = new Base64Decoder();
  const sendBySdk: (...call: unknown[]) => Promise<unknown> = client.send.bind(client) as never;
  const send = async (command: unknown, ...rest: unknown[]): Promise<unknown> => {
    const [options = {}] = rest;
    const isUsual = command instanceof GetRecordsCommand && rest.length < 2 &&
      typeof options === "object";
    if (!isUsual) return await sendBySdk(command, ...rest);
    if (!isLearning) {
      isLearning = true;
      try {
        return await sendBySdk(command, ...rest);
      } finally {
        learned.resolve();
      }
    }
    // Shards that begin together would else all have their first answer, the largest one, read by the SDK.
    await learned.promise;
    if (known === undefined) return await sendBySdk(command, ...rest);
    // The signer notes in the properties what belongs to one call.
    const properties = { ...known.signingProperties };
    const request = await signed(client, { ...known, signingProperties: properties }, command);
    const { response } = await client.config.requestHandler.handle(request, options as never);
    const readBySdk = (response: HttpResponse) => readAnswerBySdk(client, command, response);
    if (!isUsualAnswer(response)) return await readBySdk(response);
    known.signer.successHandler?.(response, properties);
    const answer = new LateAnswer(response, { decoder, readBySdk });
    return isLate(command) ? answer : await answer.whole();
  };
  client.send = send as KinesisClient["send"];
}

/** The SDK makes a signer for each call, from all that it is configured with; what a signature depends on is given to it each time. */
function keepSigner({ config }: KinesisClient): void {
  const makeSigner = config.signer;
  if (typeof makeSigner !== "function") return;
  let kept: ReturnType<typeof makeSigner> | undefined;
  config.signer = async (scheme) => {
    try {
      return await (kept ??= makeSigner(scheme));
    } catch (error) {
      kept = undefined;
      throw error;
    }
  };
}

/** Undefined if anything is missing. */
function knownCall(request: unknown, context: unknown): KnownCall | undefined {
  const scheme = (context as CallContext).__smithy_context?.selectedHttpAuthScheme;
  const signingProperties = scheme?.httpAuthOption?.signingProperties;
  const isKnown = HttpRequest.isInstance(request) &&
    request.headers[TARGET]?.endsWith(LEARNED_FROM) === true &&
    typeof scheme?.signer?.sign === "function" && signingProperties !== undefined;
  return isKnown
    ? { request: HttpRequest.clone(request), signer: scheme.signer as Signer, signingProperties }
    : undefined;
}

async function signed(
  client: KinesisClient,
  { request, signer, signingProperties }: KnownCall,
  { input }: GetRecordsCommand,
): Promise<HttpRequest> {
  const body = JSON.stringify(input);
  // An iterator is ASCII.
  const headers = { ...request.headers, "content-length": String(body.length) };
  const identity = await client.config.credentials();
  return await signer.sign(
    new HttpRequest({ ...request, headers, body }),
    identity,
    signingProperties,
  );
}

/** Has the SDK read an answer that came: it takes it for that of its own call. */
async function readAnswerBySdk(
  client: KinesisClient,
  command: GetRecordsCommand,
  response: HttpResponse,
): Promise<GetRecordsOutput> {
  const requestHandler = {
    ...client.config.requestHandler,
    handle: () => Promise.resolve({ response }),
  };
  const config = { ...client.config, requestHandler };
  const handler = command.resolveMiddleware(client.middlewareStack, config as never, {});
  return (await handler(command)).output as GetRecordsOutput;
}
