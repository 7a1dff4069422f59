/**
 * Owns: one Worker with a processor in it, from its start to its end: calls, their answers, and the deadline that ends it.
 * Must not: start another one; decide what becomes of the calls that it did not answer.
 * Called by: `sandbox/processor_thread.ts`.
 *
 * @module
 */

import { messageOf, ProcessTimeoutError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Failed } from "../runtime/batch_result.ts";
import { Bell, Scope } from "../runtime/tasks.ts";
import { type PackedError, packError, unpackError } from "./packed_error.ts";
import type {
  FromThread,
  PackedPosition,
  ProcessorMethod,
  Progress,
  ThreadSettings,
  ToThread,
  Work,
} from "./protocol.ts";

/** What a thread needs of the outside. */
export interface ThreadDeps {
  readonly clock: Clock;
  readonly settings: Omit<ThreadSettings, "running">;
  /** The most time for a thread to load the processor, in milliseconds. */
  readonly loadTimeoutMs: number;
  /** Starts a Worker, and sends it the settings and whatever it needs to find its processor. */
  readonly startWorker: (settings: ThreadSettings) => Worker;
  /** Is told what failed in a thread without anybody waiting for it. */
  readonly onStray: (error: unknown) => void;
  readonly onCheckpoint: (
    shardId: string,
    term: number,
    position: PackedPosition | null,
  ) => Promise<void>;
}

/** Why a call was not answered: its thread ended. */
export class ThreadEnd extends Error {
  override readonly name = "ThreadEnd";
  /** How many records of the run were finished. */
  readonly finished: number;
  /** Whether it was this call that ended the thread, as far as is known; then the reason counts as its failure. */
  readonly isToBlame: boolean;
  readonly reason: Error;

  /** @param finished How many records of the run were finished. */
  constructor(reason: Error, finished: number, isToBlame: boolean) {
    super(reason.message, { cause: reason });
    this.reason = reason;
    this.finished = finished;
    this.isToBlame = isToBlame;
  }
}

/** A call that waits for its answer. */
interface Pending {
  readonly id: number;
  readonly progress: Progress | undefined;
  readonly answer: PromiseWithResolvers<Answer>;
  /** The record in hand when it was last looked at, and since when. */
  inHand: number;
  since: number;
}

/** What became of a call: what the method returned, or threw; of a run, how many records are finished, also when one failed. */
export interface Answer {
  readonly value?: unknown;
  readonly thrown?: { readonly error: unknown };
  /** The records of a batch that failed. */
  readonly failed?: readonly Failed[];
}

/** How often the deadline is looked at, as a part of `processTimeout`, and the bounds of that. */
const LOOK_SHARE = 1 / 8;
const LOOK_MS = { min: 10, max: 1_000 };
/** How long a thread may take to say that it is there, likewise. A short record of another shard may be in hand. */
const PONG_SHARE = 1 / 4;
const PONG_MS = { min: 250, max: 5_000 };

/** A running Worker. */
export class LiveThread {
  readonly #deps: ThreadDeps;
  readonly #worker: Worker;
  readonly #running: Int32Array<SharedArrayBuffer>;
  readonly #calls = new Map<number, Pending>();
  readonly #made = new Map<number, Promise<Answer>>();
  readonly #kept = new WeakMap<object, number>();
  readonly #loaded = Promise.withResolvers<readonly ProcessorMethod[] | null>();
  readonly #life = new AbortController();
  readonly #pong = new Bell();
  readonly #onEnd: () => void;
  #lastId = 0;

  /** @param onEnd Is called when the thread ended, by itself or not. */
  constructor(deps: ThreadDeps, onEnd: () => void) {
    this.#deps = deps;
    this.#onEnd = onEnd;
    const running = new SharedArrayBuffer(4);
    this.#running = new Int32Array(running);
    this.#loaded.promise.catch(() => {}); // Whoever calls `loaded` is told.
    this.#worker = deps.startWorker({ ...deps.settings, running });
    this.#worker.onmessage = ({ data }: MessageEvent<FromThread>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#broke(event.message);
    };
    this.#worker.onmessageerror = () => this.#broke("a message could not be read");
    // It ends in an abort, when the thread does.
    this.#watch().catch((error) => this.#life.signal.aborted || deps.onStray(error));
  }

  /** Resolves to the methods of the processor, null for a factory, when it is loaded. */
  async loaded(): Promise<readonly ProcessorMethod[] | null> {
    using timer = new Scope(this.#life.signal);
    const { clock, loadTimeoutMs } = this.#deps;
    const tooLate = clock.sleep(loadTimeoutMs, timer.signal).then(() => {
      const reason = `its modules did not finish what they do at the start within`;
      this.end(
        new Error(
          `Cannot start the thread of the processor: ${reason} ${loadTimeoutMs} ms, the time for loading`,
        ),
      );
    });
    tooLate.catch(() => {}); // The timer is not needed any more.
    try {
      return await this.#loaded.promise;
    } finally {
      timer.abort();
    }
  }

  /** Makes the processor of a shard, once. */
  async make(processor: number, shardId: string): Promise<Answer> {
    const made = this.#made.get(processor) ?? this.call(processor, { kind: "make", shardId });
    this.#made.set(processor, made);
    const answer = await made;
    if (answer.thrown !== undefined) this.#made.delete(processor); // The next one tries again.
    return answer;
  }

  hasMade(processor: number): boolean {
    return this.#made.has(processor);
  }

  /** @throws {ThreadEnd} If it ended. */
  throwIfEnded(): void {
    this.#life.signal.throwIfAborted();
  }

  /** An error as the thread knows it: if it came from there, by the number under which it is kept there. */
  pack(error: unknown): PackedError {
    const kept = this.#kept.get(error as object); // Whatever is no object is not found.
    return { ...packError(error), ...kept !== undefined && { kept } };
  }

  /**
   * Has something done. An abort of the signal is passed on.
   *
   * @throws {ThreadEnd} If the thread ended before it answered.
   */
  async call(
    processor: number,
    work: Work,
    options: { readonly signal?: AbortSignal; readonly progress?: Progress } = {},
  ): Promise<Answer> {
    this.throwIfEnded();
    const { signal, progress } = options;
    const id = this.#lastId += 1;
    const answer = Promise.withResolvers<Answer>();
    const since = this.#deps.clock.monotonic();
    this.#calls.set(id, { id, progress, answer, inHand: 0, since });
    const transfer = "records" in work ? [work.records] : [];
    this.#send({ kind: "call", id, processor, work }, transfer);
    const pass = (): void =>
      this.#send({ kind: "abort", id, reason: packError(signal?.reason) }, []);
    if (signal?.aborted) pass();
    signal?.addEventListener("abort", pass, { once: true });
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener("abort", pass);
    }
  }

  /** Ends the thread at once; `toBlame` are the calls that it ends for. */
  end(reason: Error, toBlame: readonly Pending[] = []): void {
    if (this.#life.signal.aborted) return;
    this.#worker.terminate();
    this.#life.abort(new ThreadEnd(reason, 0, false));
    this.#loaded.reject(reason);
    for (const call of this.#calls.values()) {
      const finished = call.progress?.inHand ?? 0;
      call.answer.reject(new ThreadEnd(reason, finished, toBlame.includes(call)));
    }
    this.#calls.clear();
    this.#onEnd();
  }

  #send(message: ToThread, transfer: readonly ArrayBuffer[]): void {
    if (!this.#life.signal.aborted) this.#worker.postMessage(message, [...transfer]);
  }

  #receive(message: FromThread): void {
    switch (message.kind) {
      case "ready":
        this.#loaded.resolve(message.methods);
        break;
      case "refused": {
        const error = unpackError(message.error);
        this.end(error instanceof Error ? error : new Error(messageOf(error)));
        break;
      }
      case "reply":
        this.#answered(message);
        break;
      case "checkpoint":
        // It answers its own failures.
        void this.#checkpoint(message);
        break;
      case "stray":
        this.#deps.onStray(unpackError(message.error));
        break;
      case "pong":
        this.#pong.ring();
        break;
      default:
        message satisfies never;
    }
  }

  #answered({ id, value, error, failed = [] }: Extract<FromThread, { kind: "reply" }>): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error !== undefined) {
      return call?.answer.resolve({ value, thrown: { error: this.#unpack(error) } });
    }
    const failures = failed.map(({ index, error }) => ({ index, error: this.#unpack(error) }));
    call?.answer.resolve({ value, failed: failures });
  }

  #unpack(packed: PackedError): unknown {
    const error = unpackError(packed);
    if (error instanceof Error && packed.kept !== undefined) this.#kept.set(error, packed.kept);
    return error;
  }

  async #checkpoint(message: Extract<FromThread, { kind: "checkpoint" }>): Promise<void> {
    const { id, shardId, term, position } = message;
    try {
      await this.#deps.onCheckpoint(shardId, term, position);
      this.#send({ kind: "checkpointed", id }, []);
    } catch (error) {
      this.#send({ kind: "checkpointed", id, error: packError(error) }, []);
    }
  }

  /** What ends a thread from within is the doing of the code that ran, or else of any that was under way. */
  #broke(message: string): void {
    const reason = new Error(`Cannot go on in the thread of the processor: it ended: ${message}`);
    const calls = [...this.#calls.values()];
    const running = calls.filter((call) => call.id === Atomics.load(this.#running, 0));
    this.end(reason, running.length > 0 ? running : calls);
    if (calls.length === 0) this.#deps.onStray(reason);
  }

  /** Ends the thread when a call takes longer than `processTimeout` and nothing else gets its turn meanwhile. */
  async #watch(): Promise<void> {
    const { clock, settings: { processTimeout } } = this.#deps;
    if (processTimeout === 0) return;
    const lookMs = within(LOOK_MS, processTimeout * LOOK_SHARE);
    const pongMs = within(PONG_MS, processTimeout * PONG_SHARE);
    for (;;) {
      await clock.sleep(lookMs, this.#life.signal);
      if (this.#overdue(processTimeout).length === 0) continue;
      this.#send({ kind: "ping" }, []);
      if (await this.#pong.wait(clock, pongMs, this.#life.signal)) {
        // It waits, and has an eye on its records itself. Whoever called it for anything else does not wait any more.
        for (const call of this.#overdue(processTimeout)) call.since = clock.monotonic();
        continue;
      }
      const overdue = this.#overdue(processTimeout);
      const id = Atomics.load(this.#running, 0);
      const running = overdue.filter((call) => call.id === id);
      // A short record of another shard may keep the thread from answering; it has a time of its own.
      if (running.length === 0 && this.#calls.has(id)) continue;
      const toBlame = running.length > 0 ? running : overdue;
      if (toBlame.length > 0) this.end(new ProcessTimeoutError(processTimeout), toBlame);
    }
  }

  /** The calls that stand still for too long. */
  #overdue(limitMs: number): readonly Pending[] {
    const now = this.#deps.clock.monotonic();
    for (const call of this.#calls.values()) {
      const inHand = call.progress?.inHand ?? 0;
      if (inHand === call.inHand) continue;
      call.inHand = inHand;
      call.since = now;
    }
    return [...this.#calls.values()].filter(({ since }) => now - since > limitMs);
  }
}

function within({ min, max }: { readonly min: number; readonly max: number }, ms: number): number {
  return Math.min(max, Math.max(min, ms));
}
