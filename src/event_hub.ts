/**
 * Owns: delivering events to listeners and streams, in order, so that none of them can harm the worker or miss the start.
 * Must not: know what an event means.
 * Called by: `app.ts`.
 *
 * @module
 */

import type { AppEvent, AppEventOf, AppEventType } from "./events.ts";

/** What is told an event. */
export type EventListener<T extends AppEventType> = (event: AppEventOf<T>) => void;

/** How a listener is added. */
export interface ListenerOptions {
  /**
   * Whether it is told one event only.
   *
   * @default {false}
   */
  readonly once?: boolean;
  /** Takes the listener off when it is aborted. */
  readonly signal?: AbortSignal;
}

/** A stream that nobody reads must not fill the memory. */
const STREAM_EVENTS_MAX = 10_000;

/** Delivers events. */
export class EventHub {
  readonly #listeners = new Map<string, Map<(event: never) => void, boolean>>();
  readonly #streams = new Set<ReadableStreamDefaultController<AppEvent>>();
  readonly #first: ((event: AppEvent) => void) | undefined;
  readonly #onListenerError: (eventType: string, error: unknown) => void;
  /** Events of the start, kept until the app is in the hands of the user. */
  #early: AppEvent[] | null = [];
  #isClosed = false;

  /**
   * @param onListenerError Is told what a listener threw, unless it threw at a `listener_failed`.
   * @param first Is told every event at once, from the first one on.
   */
  constructor(
    onListenerError: (eventType: string, error: unknown) => void,
    first?: (event: AppEvent) => void,
  ) {
    this.#first = first;
    this.#onListenerError = onListenerError;
  }

  /** Delivers an event now, or at {@linkcode EventHub.open}. */
  deliver(event: AppEvent): void {
    if (this.#first !== undefined) this.#tell(this.#first, event);
    if (this.#early === null) this.#spread(event);
    else this.#early.push(event);
  }

  /** Delivers what happened so far, and from now on everything at once. */
  open(): void {
    const early = this.#early ?? [];
    this.#early = null;
    for (const event of early) this.#spread(event);
    if (this.#isClosed) this.#closeStreams();
  }

  /** Ends the streams when everything is delivered. */
  close(): void {
    this.#isClosed = true;
    if (this.#early === null) this.#closeStreams();
  }

  /** Adds a listener for a type of event; `*` is every type. */
  add<T extends AppEventType>(
    type: T | "*",
    listener: EventListener<T>,
    options: ListenerOptions = {},
  ): void {
    if (options.signal?.aborted) return;
    const listeners = this.#listeners.get(type) ?? new Map();
    this.#listeners.set(type, listeners.set(listener, options.once ?? false));
    options.signal?.addEventListener("abort", () => this.remove(type, listener), { once: true });
  }

  /** Takes a listener off. */
  remove<T extends AppEventType>(type: T | "*", listener: EventListener<T>): void {
    this.#listeners.get(type)?.delete(listener);
  }

  /** Every event from now on, and those of the start that are not delivered yet. */
  stream(): ReadableStream<AppEvent> {
    let own: ReadableStreamDefaultController<AppEvent>;
    return new ReadableStream<AppEvent>({
      start: (controller) => {
        own = controller;
        if (this.#isClosed && this.#early === null) controller.close();
        else this.#streams.add(controller);
      },
      cancel: () => {
        this.#streams.delete(own);
      },
    }, { highWaterMark: STREAM_EVENTS_MAX });
  }

  #spread(event: AppEvent): void {
    for (const key of [event.type, "*"]) {
      const listeners = this.#listeners.get(key);
      for (const [listener, once] of listeners ?? []) {
        if (once) listeners?.delete(listener);
        this.#tell(listener, event);
      }
    }
    for (const stream of this.#streams) this.#enqueue(stream, event);
  }

  #tell(listener: (event: never) => void, event: AppEvent): void {
    const report = (error: unknown): void => {
      if (event.type !== "listener_failed") this.#onListenerError(event.type, error);
    };
    try {
      // A listener may be async, whatever its type says: what it rejects with is what it throws.
      Promise.resolve(listener(event as never)).catch(report);
    } catch (error) {
      report(error);
    }
  }

  #enqueue(stream: ReadableStreamDefaultController<AppEvent>, event: AppEvent): void {
    if ((stream.desiredSize ?? 0) > 0) {
      stream.enqueue(event);
      return;
    }
    this.#streams.delete(stream);
    stream.error(
      new RangeError(
        `Cannot keep more than ${STREAM_EVENTS_MAX} events for a stream: read it, or cancel it`,
      ),
    );
  }

  #closeStreams(): void {
    for (const stream of this.#streams) stream.close();
    this.#streams.clear();
  }
}
