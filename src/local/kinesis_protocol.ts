// Owns: the AWS JSON 1.1 protocol: a target header and a body in, status, headers and a body out.
// Must not: listen or connect.
// Called by: kinesis_server.ts, and the tests without a server.
import { toEventStream } from "./event_stream.ts";
import type { KinesisEngine } from "./kinesis_engine.ts";
import { KinesisError } from "./kinesis_error.ts";
import { Subscription } from "./subscription.ts";

/** A call on its way to the engine. */
export interface KinesisCall {
  /** The operation's name, as "GetRecords". */
  readonly operation: string;
  /** Its input as JSON carries it: bytes in base64, times in seconds of the epoch. */
  readonly input: unknown;
}

/**
 * Stands between the clients and the engine, to watch calls or to make them fail. It answers `proceed()`,
 * the output of the engine, at once or later; a `KinesisError` that it throws, before or after proceeding,
 * reaches the client as that error.
 */
export type Intercept = (call: KinesisCall, proceed: () => object) => object | Promise<object>;

export interface ProtocolReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The whole of it; of a subscription what it sends, until it ends or is cancelled. */
  readonly body: string | ReadableStream<Uint8Array<ArrayBuffer>>;
}

export interface ProtocolOptions {
  /** @default {(call, proceed) => proceed()} */
  readonly intercept?: Intercept;
}

const TARGET_PREFIX = "Kinesis_20131202.";

/** Answers requests to one engine; faults of the engine itself are thrown, not answered. */
export class KinesisProtocol {
  readonly #engine: KinesisEngine;
  readonly #intercept: Intercept;
  #replies = 0;

  constructor(engine: KinesisEngine, options: ProtocolOptions) {
    this.#engine = engine;
    this.#intercept = options.intercept ?? ((_call, proceed) => proceed());
  }

  /** @param target the X-Amz-Target header */
  async dispatch(target: string, body: string): Promise<ProtocolReply> {
    try {
      const operation = operationOf(target);
      const input = parseBody(body);
      const proceed = () => this.#engine.call(operation, input);
      const output = await this.#intercept({ operation, input }, proceed);
      if (output instanceof Subscription) return this.#replyWith(output);
      // Operations without output have an empty body, as in AWS.
      return this.#reply(200, Object.keys(output).length === 0 ? "" : JSON.stringify(output));
    } catch (error) {
      if (error instanceof KinesisError) return this.refuse(error);
      throw error;
    }
  }

  refuse({ name, message, status }: KinesisError): ProtocolReply {
    return this.#reply(status, JSON.stringify({ __type: name, message }), {
      "x-amzn-errortype": name,
    });
  }

  #replyWith(subscription: Subscription): ProtocolReply {
    return this.#reply(200, toEventStream(subscription), {
      "content-type": "application/vnd.amazon.eventstream",
    });
  }

  #reply(
    status: number,
    body: ProtocolReply["body"],
    headers: Readonly<Record<string, string>> = {},
  ): ProtocolReply {
    const serial = String(++this.#replies).padStart(12, "0");
    return {
      status,
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": `00000000-0000-0000-0000-${serial}`,
        ...headers,
      },
      body,
    };
  }
}

function operationOf(target: string): string {
  if (target.startsWith(TARGET_PREFIX)) return target.slice(TARGET_PREFIX.length);
  throw new KinesisError("UnknownOperationException", `Unknown target "${target}".`);
}

function parseBody(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // What is wrong with the JSON helps nobody: SDKs write it.
    throw new KinesisError("SerializationException", "The request is not JSON");
  }
}
