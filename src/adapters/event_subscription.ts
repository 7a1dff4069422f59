/**
 * Owns: one SubscribeToShard call: its events, one at a time, and the silence after which it is given up.
 * Must not: call again.
 * Called by: `shard_subscriber.ts`.
 *
 * @module
 */

import {
  type KinesisClient,
  SubscribeToShardCommand,
  type SubscribeToShardEvent,
  type SubscribeToShardInput,
} from "@aws-sdk/client-kinesis";
import { abortable } from "@std/async/abortable";
import type { Clock } from "../ports.ts";
import { withoutRetries } from "./aws_calls.ts";
import { required } from "./kinesis_shapes.ts";

/** What a subscription is made of. */
export interface EventSubscriptionOptions {
  readonly client: KinesisClient;
  readonly input: SubscribeToShardInput;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Kinesis sends an event every 5 seconds when there are no records. */
export const SILENCE_MAX_MS = 30_000;

/** A connection over which a shard sends its records. */
export class EventSubscription {
  /** Whether an event has come. */
  hasEvents = false;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  // Only an abort ends the connection: to leave the iteration does not.
  readonly #connection = new AbortController();
  #events: AsyncIterator<Partial<Record<"SubscribeToShardEvent", SubscribeToShardEvent>>> | null =
    null;

  private constructor({ clock, signal }: EventSubscriptionOptions) {
    this.#clock = clock;
    this.#signal = signal;
    signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** Subscribes. */
  static async open(options: EventSubscriptionOptions): Promise<EventSubscription> {
    options.signal.throwIfAborted();
    const subscription = new EventSubscription(options);
    const abortSignal = subscription.#connection.signal;
    const command = withoutRetries(new SubscribeToShardCommand(options.input));
    try {
      const reply = await subscription.#unlessSilent(options.client.send(command, { abortSignal }));
      subscription.#events = required(reply.EventStream, "EventStream")[Symbol.asyncIterator]();
      return subscription;
    } catch (error) {
      subscription.close();
      throw error;
    }
  }

  /** The next event; undefined when the connection has ended. Nothing is read before it is called. */
  async next(): Promise<SubscribeToShardEvent | undefined> {
    const events = required(this.#events ?? undefined, "EventStream");
    while (true) {
      const { value, done } = await this.#unlessSilent(events.next());
      if (done) return undefined;
      if (value.SubscribeToShardEvent === undefined) continue;
      this.hasEvents = true;
      return value.SubscribeToShardEvent;
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#signal.removeEventListener("abort", this.#abort);
    this.#connection.abort();
  }

  readonly #abort = (): void => this.close();

  async #unlessSilent<T>(work: Promise<T>): Promise<T> {
    // What becomes of it after an abort is of no interest.
    work.catch(() => {});
    using timer = new Timer();
    const silence = this.#clock.sleep(SILENCE_MAX_MS, timer.signal).then(() => {
      throw new SilenceError();
    });
    return await Promise.race([abortable(work, this.#connection.signal), silence]);
  }
}

/** Thrown when nothing came for too long. */
class SilenceError extends Error {
  override readonly name = "TimeoutError";

  constructor() {
    super(`no event came for ${SILENCE_MAX_MS / 1_000} s`);
  }
}

/** A wait that ends with its block. */
class Timer implements Disposable {
  readonly #controller = new AbortController();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
  }
}
