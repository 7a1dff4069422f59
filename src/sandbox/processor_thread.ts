/**
 * Owns: that there is always a thread for a processor: starts it, and starts another one when it ended; not too often.
 * Must not: know what is asked of the processor.
 * Called by: `sandbox/processor_threads.ts` and `sandbox/remote_processor.ts`.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { type Answer, LiveThread, type ThreadDeps, ThreadEnd } from "./live_thread.ts";
import { type ProcessorMethod, type Progress, SHARED, type Work } from "./protocol.ts";

/** Something to do, which may have to be sent twice: what is sent goes over to the thread. */
export interface Task {
  /** The number of the processor: 0 is the one that all shards share. */
  readonly processor: number;
  readonly makeWork: (thread: LiveThread) => Work;
  /** Is passed on to the processor. */
  readonly signal: AbortSignal;
  /** Aborts when a thread that is not there yet is not to be waited for. */
  readonly patience: AbortSignal;
  /** Of a run: how far it is; when `patience` ends no further record is started. */
  readonly progress?: Progress;
}

/** What a place for threads needs of the outside. */
export interface ThreadPlaceDeps extends ThreadDeps {
  /** Sees to it that what a Worker reads is there, before each start. */
  readonly prepare: () => Promise<void>;
}

const RESTART_BACKOFF: Backoff = { baseMs: 100, maxMs: 10_000 };
/** A run is answered before it took much longer than this part of it; so whatever ended a process is met again by then. */
const CAREFUL_MS = 5_000;

/** A place for one thread after the other. */
export class ProcessorThread {
  readonly #deps: ThreadPlaceDeps;
  readonly #closed = new AbortController();
  /** The shards whose processors are to be there, by the number of the processor. */
  readonly #shards = new Map<number, string>();
  /** The thread that there is, or that is being started. */
  #starting: Promise<LiveThread> | undefined;
  #live: LiveThread | undefined;
  /** Those of which something may be left. */
  readonly #going = new Set<Promise<void>>();
  /** Threads that ended, or did not start, since the last answer. */
  #failures = 0;
  /** How many calls, and for how long, are to be alone. */
  #suspects = 0;
  #carefulUntil = 0;
  /** Resolves when the last of those is over. */
  #lastAlone: Promise<void> = Promise.resolve();

  /** @param deps What a thread needs of the outside. */
  constructor(deps: ThreadPlaceDeps) {
    this.#deps = deps;
  }

  /**
   * Whether one record is to be sent at a time. When a process died without a word, any of what was in hand may have been the
   * cause, or somebody outside. So all of that is done again one by one; what is alone when the process dies again is to blame.
   */
  get isCareful(): boolean {
    return this.#suspects > 0 || this.#deps.clock.monotonic() < this.#carefulUntil;
  }

  /** Starts the thread; resolves to the methods of the processor, null for a factory. */
  async start(): Promise<readonly ProcessorMethod[] | null> {
    return await (await this.#use()).loaded();
  }

  /**
   * Makes the processor of a shard, here and in every thread that follows.
   *
   * @throws Whatever the factory throws.
   */
  async make(processor: number, shardId: string): Promise<readonly ProcessorMethod[]> {
    this.#shards.set(processor, shardId);
    for (;;) {
      const thread = await this.#ready(this.#closed.signal);
      try {
        const { thrown, value } = await thread.make(processor, shardId);
        if (thrown === undefined) return value as readonly ProcessorMethod[];
        throw thrown.error;
      } catch (error) {
        // A thread that ends because of something else says nothing about the factory.
        if (!(error instanceof ThreadEnd)) throw error;
        if (error.isToBlame) throw error.reason;
      }
    }
  }

  /**
   * Disposes a processor, if it is there.
   *
   * @throws Whatever it throws.
   */
  async dispose(processor: number): Promise<void> {
    this.#shards.delete(processor);
    const thread = this.#live;
    if (thread === undefined || processor !== SHARED && !thread.hasMade(processor)) return;
    try {
      const { thrown } = await thread.call(processor, { kind: "dispose" });
      if (thrown !== undefined) throw thrown.error;
    } catch (error) {
      throw error instanceof ThreadEnd ? error.reason : error;
    }
  }

  /**
   * Has something done. Waits for a thread as long as it takes: that there is none is not the fault of any record.
   *
   * @throws {ThreadEnd} If the thread ended before it answered.
   * @throws The reason of `patience`, or that the thread is closed.
   */
  async call(task: Task): Promise<Answer> {
    if (!this.isCareful) return await this.#call(task, false);
    const before = this.#lastAlone;
    const { promise: done, resolve: onDone } = Promise.withResolvers<void>();
    this.#lastAlone = before.then(() => done);
    try {
      await abortable(before, task.patience);
      const answer = await this.#call(task, true);
      this.#suspects = Math.max(0, this.#suspects - 1);
      return answer;
    } finally {
      onDone();
    }
  }

  async #call(task: Task, isAlone: boolean): Promise<Answer> {
    const { processor, makeWork, signal, patience, progress } = task;
    const thread = await this.#readyFor(processor, patience);
    const work = makeWork(thread);
    const answer = await thread.call(processor, work, {
      signal,
      isAlone,
      ...progress && { run: { progress, until: patience } },
    });
    this.#failures = 0;
    return answer;
  }

  /** Ends the thread at once, for good; resolves when nothing is left of it, or of those before it. */
  async close(): Promise<void> {
    const reason = new Error("Cannot use the thread of the processor: it is closed");
    this.#closed.abort(reason);
    this.#live?.end(reason);
    await Promise.all(this.#going);
  }

  /** A thread that has the processor, too. One that was made before and cannot be made again is told of, and tried again. */
  async #readyFor(processor: number, patience: AbortSignal): Promise<LiveThread> {
    for (let failures = 1;; failures++) {
      const thread = this.#live ?? await this.#ready(patience);
      const shardId = this.#shards.get(processor);
      if (shardId === undefined) return thread;
      try {
        const { thrown } = await thread.make(processor, shardId);
        if (thrown === undefined) return thread;
        this.#deps.onStray(thrown.error);
      } catch (error) {
        if (!(error instanceof ThreadEnd)) throw error;
        if (error.isToBlame) this.#deps.onStray(error.reason);
      }
      await this.#deps.clock.sleep(backoffMs(failures, RESTART_BACKOFF, 0), patience);
    }
  }

  /** The next thread that starts. One that cannot be started is told of, and tried again. */
  async #ready(patience: AbortSignal): Promise<LiveThread> {
    for (;;) {
      try {
        return await abortable(this.#use(), patience);
      } catch (error) {
        patience.throwIfAborted();
        this.#closed.signal.throwIfAborted();
        this.#deps.onStray(error);
      }
    }
  }

  #use(): Promise<LiveThread> {
    this.#starting ??= this.#startOne().catch((error) => {
      this.#ended();
      throw error;
    });
    return this.#starting;
  }

  async #startOne(): Promise<LiveThread> {
    const { signal } = this.#closed;
    if (this.#failures > 1) {
      // What ends one thread after the other must not keep the machine busy with starting them.
      await this.#deps.clock.sleep(backoffMs(this.#failures - 1, RESTART_BACKOFF, 0), signal);
    }
    await this.#deps.prepare();
    signal.throwIfAborted();
    const thread = new LiveThread(this.#deps, (suspects) => {
      this.#suspects = Math.max(this.#suspects, suspects);
      if (this.#live === thread) this.#ended();
    });
    const gone = thread.gone.finally(() => this.#going.delete(gone));
    this.#going.add(gone);
    const close = (): void => thread.end(signal.reason);
    signal.addEventListener("abort", close, { once: true });
    try {
      await thread.loaded();
    } finally {
      signal.removeEventListener("abort", close);
    }
    thread.throwIfEnded();
    this.#live = thread;
    if (this.#suspects > 0) this.#carefulUntil = this.#deps.clock.monotonic() + CAREFUL_MS;
    return thread;
  }

  #ended(): void {
    this.#failures += 1;
    this.#live = undefined;
    this.#starting = undefined;
  }
}
