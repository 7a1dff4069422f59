/**
 * Owns: threads that run seeds, several at a time.
 * Must not: choose seeds, or judge what came of them.
 * Called by: `hunt.ts`, `shrink.ts`, `run.ts`, `sim_test.ts`.
 *
 * @module
 */

import type { Answer, Task } from "./job.ts";
import type { SimulationOptions, SimulationResult } from "./simulation.ts";

/** Who never answers was caught in a loop; a seed takes less than a few seconds. */
const SEED_MS_MAX = 300_000;

/** Threads. `using` ends them. */
export class Jobs implements Disposable {
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #waiting: ((worker: Worker) => void)[] = [];
  readonly #ending = new AbortController();
  readonly #seedMsMax: number;
  readonly size: number;

  /**
   * @param size How many run at a time.
   * @param options How long a seed may take, in real milliseconds.
   */
  constructor(
    size: number = navigator.hardwareConcurrency,
    options: { readonly seedMsMax?: number } = {},
  ) {
    this.size = size;
    this.#seedMsMax = options.seedMsMax ?? SEED_MS_MAX;
    for (let i = 0; i < size; i++) this.#idle.push(this.#open());
  }

  /**
   * Runs a seed as soon as a thread is free.
   *
   * @throws What the simulator threw; an AbortError when this was disposed.
   */
  async simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
    this.#ending.signal.throwIfAborted();
    const worker = this.#idle.pop() ?? await this.#nextIdle();
    const answer = await this.#ask(worker, { seed, options });
    if (answer === null) {
      this.#close(worker);
      this.#free(this.#open());
      return unanswered(seed, this.#seedMsMax);
    }
    this.#free(worker);
    if (answer.kind === "thrown") throw answer.error;
    return answer.result;
  }

  [Symbol.dispose](): void {
    this.#ending.abort();
    for (const worker of this.#all) this.#close(worker);
  }

  /** Null if there is no answer in time. */
  async #ask(worker: Worker, task: Task): Promise<Answer | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer | null>();
    const { signal } = this.#ending;
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    const timer = setTimeout(() => resolve(null), this.#seedMsMax);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Cannot run seed ${task.seed}: its thread failed: ${event.message}`));
    };
    worker.postMessage(task);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #nextIdle(): Promise<Worker> {
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    this.#waiting.push(resolve);
    const { signal } = this.#ending;
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    return promise;
  }

  #free(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(worker);
    else next(worker);
  }

  #open(): Worker {
    const worker = new Worker(new URL("./job.ts", import.meta.url), { type: "module" });
    this.#all.add(worker);
    return worker;
  }

  #close(worker: Worker): void {
    worker.terminate();
    this.#all.delete(worker);
  }
}

/** What is told of a seed that nobody heard of again. */
export function unanswered(seed: number, ms: number): SimulationResult {
  return {
    seed,
    checker: "bounded",
    failure: `bounded: no answer within ${ms} ms`,
    journal: "",
    traceHash: "",
    events: 0,
    virtualMs: 0,
    records: 0,
    coverage: new Map(),
    worstCrashMs: 0,
    worstPartingMs: 0,
  };
}
