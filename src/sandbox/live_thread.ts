/**
 * Owns: one thread with a processor in it, from its start to its end: calls, their answers, and the deadline that ends it.
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
import type { ThreadListener, ThreadPort } from "./thread_port.ts";

/** What a thread needs of the outside. */
export interface ThreadDeps {
  readonly clock: Clock;
  readonly settings: Omit<ThreadSettings, "running">;
  /** The most time for a thread to load the processor, in milliseconds. */
  readonly loadTimeoutMs: number;
  /** Starts a thread, and sends it the settings and whatever it needs to find its processor. */
  readonly open: (settings: ThreadSettings, listener: ThreadListener) => ThreadPort;
  /** Is told what failed in a thread without anybody waiting for it. */
  readonly onStray: (error: unknown) => void;
  /** Is told of a thread that was given up, and whose code may go on. */
  readonly onLeftBehind: () => void;
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

/** How a call is made. */
export interface CallOptions {
  /** Is passed on to the processor. */
  readonly signal?: AbortSignal;
  /** Of a run: how far it is, and when no further record of it is to be started. */
  readonly run?: { readonly progress: Progress; readonly until: AbortSignal };
  /** Whether nothing else is under way, as far as that can be had: should the thread end, it is this call's doing. */
  readonly isAlone?: boolean;
}

/** A call that waits for its answer. */
interface Pending {
  readonly id: number;
  readonly isAlone: boolean;
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
/** How long the process of a thread, in which no code of the user's keeps it from that, may take to say where the thread is. */
const LOOKED_MS = 10_000;

/** A running thread. */
export class LiveThread {
  readonly #deps: ThreadDeps;
  readonly #port: ThreadPort;
  readonly #running: Int32Array<SharedArrayBuffer>;
  readonly #calls = new Map<number, Pending>();
  readonly #made = new Map<number, Promise<Answer>>();
  readonly #kept = new WeakMap<object, number>();
  readonly #loaded = Promise.withResolvers<readonly ProcessorMethod[] | null>();
  readonly #life = new AbortController();
  readonly #pong = new Bell();
  readonly #onEnd: (suspects: number) => void;
  #isLoaded = false;
  #lastId = 0;

  /**
   * @param onEnd Is called when the thread ended, by itself or not; with the number of the calls of which one may have been the
   * cause, if that is not known.
   */
  constructor(deps: ThreadDeps, onEnd: (suspects: number) => void) {
    this.#deps = deps;
    this.#onEnd = onEnd;
    const running = new SharedArrayBuffer(4);
    this.#running = new Int32Array(running);
    this.#loaded.promise.catch(() => {}); // Whoever calls `loaded` is told.
    this.#port = deps.open({ ...deps.settings, running }, {
      receive: (message) => this.#receive(message),
      broke: (message) => this.#broke(message),
      died: (message) => this.#died(message),
    });
    // It ends in an abort, when the thread does.
    this.#watch().catch((error) => this.#life.signal.aborted || deps.onStray(error));
  }

  /** Resolves to the methods of the processor, null for a factory, when it is loaded. */
  async loaded(): Promise<readonly ProcessorMethod[] | null> {
    using timer = new Scope(this.#life.signal);
    const { clock, loadTimeoutMs } = this.#deps;
    const tooLate = clock.sleep(loadTimeoutMs, timer.signal).then(() => {
      const reason = `its modules did not finish what they do at the start within`;
      this.#giveUp(
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

  /** Resolves when nothing is left of it, as far as that can be known. */
  get gone(): Promise<void> {
    return this.#port.gone;
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
  async call(processor: number, work: Work, options: CallOptions = {}): Promise<Answer> {
    this.throwIfEnded();
    const { signal, run, isAlone = false } = options;
    const id = this.#lastId += 1;
    const answer = Promise.withResolvers<Answer>();
    const since = this.#deps.clock.monotonic();
    this.#calls.set(id, { id, isAlone, progress: run?.progress, answer, inHand: 0, since });
    this.#send({ kind: "call", id, processor, work });
    const pass = (): void => this.#send({ kind: "abort", id, reason: packError(signal?.reason) });
    const stop = (): void => {
      run?.progress.stop();
      if (!this.#life.signal.aborted) this.#port.stopRun(id);
    };
    if (signal?.aborted) pass();
    if (run?.until.aborted) stop();
    signal?.addEventListener("abort", pass, { once: true });
    run?.until.addEventListener("abort", stop, { once: true });
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener("abort", pass);
      run?.until.removeEventListener("abort", stop);
    }
  }

  /** Ends the thread at once. */
  end(reason: Error): void {
    this.#end(reason, { toBlame: [], suspects: 0 });
  }

  #end(
    reason: Error,
    { toBlame, suspects }: { readonly toBlame: readonly Pending[]; readonly suspects: number },
  ): void {
    if (this.#life.signal.aborted) return;
    this.#port.end();
    this.#life.abort(new ThreadEnd(reason, 0, false));
    this.#loaded.reject(reason);
    for (const call of this.#calls.values()) {
      const finished = call.progress?.inHand ?? 0;
      call.answer.reject(new ThreadEnd(reason, finished, toBlame.includes(call)));
    }
    this.#calls.clear();
    this.#onEnd(suspects);
  }

  /** Ends it for what its code does, and does not wait: it may go on. */
  #giveUp(reason: Error, running: readonly Pending[] = []): void {
    this.#endFor(running, reason);
    if (!this.#port.endsLoops) this.#deps.onLeftBehind();
  }

  /**
   * Ends it for what some code does: that of the call that runs. After a wait nobody knows whose code goes on; then no record may fail,
   * and perhaps be skipped, for another one: all are done again one by one, and what is alone is to blame.
   */
  #endFor(running: readonly Pending[], reason: Error): void {
    const calls = [...this.#calls.values()];
    const toBlame = running.length > 0 ? running : calls.length === 1 ? calls : [];
    this.#end(reason, { toBlame, suspects: toBlame.length > 0 ? 0 : calls.length });
  }

  #send(message: ToThread): void {
    if (!this.#life.signal.aborted) this.#port.post(message);
  }

  #receive(message: FromThread): void {
    switch (message.kind) {
      case "ready":
        this.#isLoaded = true;
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
      this.#send({ kind: "checkpointed", id });
    } catch (error) {
      this.#send({ kind: "checkpointed", id, error: packError(error) });
    }
  }

  /** What ends a thread from within is the doing of the code that ran. */
  #broke(message: string): void {
    const reason = new Error(`Cannot go on in the thread of the processor: it ended: ${message}`);
    const calls = [...this.#calls.values()];
    const running = calls.filter((call) => call.id === Atomics.load(this.#running, 0));
    this.#endFor(running, reason);
    if (calls.length === 0) this.#tell(reason);
  }

  /**
   * Somebody outside may have ended it, or anything that was under way; and what was told last of how far that is, is old. No
   * record may fail, and perhaps be skipped, for that, unless it was alone.
   */
  #died(message: string): void {
    const reason = new Error(`Cannot go on in the process of the processor: ${message}`);
    const calls = [...this.#calls.values()];
    const toBlame = calls.length === 1 ? calls.filter(({ isAlone }) => isAlone) : [];
    this.#end(reason, { toBlame, suspects: calls.length });
    if (toBlame.length === 0) this.#tell(reason);
  }

  /** Tells of an end that no call tells of; before it was loaded, `loaded` does. */
  #tell(reason: Error): void {
    if (this.#isLoaded) this.#deps.onStray(reason);
  }

  /** Brings up to date what is known of the thread; false if that cannot be had any more. */
  async #look(): Promise<boolean> {
    const looked = this.#port.look();
    if (looked === undefined) return true;
    const told = new Bell();
    looked.then(() => told.ring());
    if (await told.wait(this.#deps.clock, LOOKED_MS, this.#life.signal)) return true;
    this.#died(`its process does not answer for ${LOOKED_MS} ms`);
    return false;
  }

  /** Ends the thread when a call takes longer than `processTimeout` and nothing else gets its turn meanwhile. */
  async #watch(): Promise<void> {
    const { clock, settings: { processTimeout } } = this.#deps;
    if (processTimeout === 0) return;
    const lookMs = within(LOOK_MS, processTimeout * LOOK_SHARE);
    const pongMs = within(PONG_MS, processTimeout * PONG_SHARE);
    for (;;) {
      await clock.sleep(lookMs, this.#life.signal);
      if (this.#calls.size === 0 || !await this.#look()) continue;
      if (this.#overdue(processTimeout).length === 0) continue;
      this.#send({ kind: "ping" });
      if (await this.#pong.wait(clock, pongMs, this.#life.signal)) {
        // It waits, and has an eye on its records itself. Whoever called it for anything else does not wait any more.
        for (const call of this.#overdue(processTimeout)) call.since = clock.monotonic();
        continue;
      }
      if (!await this.#look()) continue;
      const overdue = this.#overdue(processTimeout);
      const id = Atomics.load(this.#running, 0);
      const running = overdue.filter((call) => call.id === id);
      // A short record of another shard may keep the thread from answering; it has a time of its own.
      if (running.length === 0 && this.#calls.has(id)) continue;
      if (overdue.length > 0) this.#giveUp(new ProcessTimeoutError(processTimeout), running);
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
