/**
 * Owns: the registered consumer of an app: found by its name, registered when there is none, waited for.
 * Must not: subscribe; deregister, since other workers use it.
 * Called by: `kinesis_fan_out.ts`, `shard_subscriber.ts`.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { SourceError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { StreamCalls } from "./stream_calls.ts";

/** What the search for a consumer is made of. */
export interface RegisteredConsumerOptions {
  readonly calls: StreamCalls;
  readonly streamName: string;
  readonly consumerName: string;
  readonly clock: Clock;
}

/** Five calls a second are allowed for each stream, and many workers may wait. */
const STATE_CHECK_MS = 2_000;
/** A consumer becomes ACTIVE within seconds. */
const STATE_CHECKS_MAX = 60;

/** A consumer that all shards of a worker share, and all workers of an app. */
export class RegisteredConsumer {
  readonly name: string;
  readonly #options: RegisteredConsumerOptions;
  #search: { readonly arn: Promise<string>; readonly signal: AbortSignal } | null = null;
  #known: string | null = null;

  constructor(options: RegisteredConsumerOptions) {
    this.#options = options;
    this.name = options.consumerName;
  }

  /** The ARN of the consumer, which is ACTIVE. All who ask at the same time share one search. */
  async arn(signal: AbortSignal): Promise<string> {
    while (true) {
      signal.throwIfAborted();
      const search = this.#search ??= this.#begin(signal);
      try {
        return await abortable(search.arn, signal);
      } catch (error) {
        signal.throwIfAborted();
        // The one who began the search has left; each that waits begins another one at most once.
        if (!search.signal.aborted) throw error;
      }
    }
  }

  /** Whether the consumer is another one by now: somebody deregistered that of this ARN. */
  async isReplaced(arn: string, signal: AbortSignal): Promise<boolean> {
    if (this.#known === arn) {
      this.#known = null;
      this.#search = null;
    }
    return await this.arn(signal) !== arn;
  }

  #begin(signal: AbortSignal): { readonly arn: Promise<string>; readonly signal: AbortSignal } {
    const search = { arn: this.#findOrRegister(signal), signal };
    search.arn.then((arn) => {
      this.#known = arn;
    }, () => {
      if (this.#search === search) this.#search = null;
    });
    return search;
  }

  async #findOrRegister(signal: AbortSignal): Promise<string> {
    const { calls, clock, streamName, consumerName } = this.#options;
    const streamArn = await calls.streamArn(signal);
    for (let check = 0; check < STATE_CHECKS_MAX; check++) {
      const consumer = await calls.findConsumer(streamArn, consumerName, signal) ??
        await this.#register(streamArn, signal);
      if (consumer?.status === "ACTIVE") return consumer.arn;
      // Being created or deleted, or registered by another worker a moment ago.
      await clock.sleep(STATE_CHECK_MS, signal);
    }
    throw new SourceError(
      `Cannot read stream "${streamName}": its consumer "${consumerName}" did not become ACTIVE ` +
        `within ${STATE_CHECK_MS * STATE_CHECKS_MAX / 1_000} s`,
      { kind: "unavailable" },
    );
  }

  async #register(streamArn: string, signal: AbortSignal) {
    const { calls, streamName, consumerName } = this.#options;
    try {
      return await calls.registerConsumer(streamArn, consumerName, signal);
    } catch (error) {
      if (!(error instanceof SourceError) || error.kind !== "throttled") throw error;
      throw new SourceError(
        `Cannot register consumer "${consumerName}" of stream "${streamName}": Kinesis asks to slow ` +
          "down, or the stream has all the consumers that it may have; deregister one that is not used",
        { kind: "throttled", cause: error },
      );
    }
  }
}
