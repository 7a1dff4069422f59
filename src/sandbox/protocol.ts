/**
 * Owns: what the two sides of a processor thread say to each other, and the memory that they share.
 * Must not: say it.
 * Called by: `sandbox/live_thread.ts` (outside) and `sandbox/thread_side.ts` (inside); with a process in between also by
 * `sandbox/process_port.ts` and `sandbox/relay.ts`.
 *
 * @module
 */

import type { ErrorHandlingMode } from "../core/policy.ts";
import type { ProcessContext, RecordProcessor } from "../processor.ts";
import type { PackedError } from "./packed_error.ts";

/** What a thread is told once, with whatever it needs to find its processor. */
export interface ThreadSettings {
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
  readonly checkpointMode: "auto" | "manual";
  /** Whether what could harm the whole process is taken away. */
  readonly isSandboxed: boolean;
  /** One `Int32`: the number of the call whose code runs now, as far as that is known; else 0. */
  readonly running: SharedArrayBuffer;
}

/** The number of the processor that all shards share; a factory makes those with other numbers. */
export const SHARED = 0;

/** What a processor has that is called in its thread. */
export type ProcessorMethod = Exclude<keyof RecordProcessor, symbol> | "dispose";

/** Which methods a processor has. */
export function methodsOf(processor: RecordProcessor): readonly ProcessorMethod[] {
  const names = [
    "process",
    "processBatch",
    "getErrorHandlingMode",
    "onMaxRetryExceeded",
    "shardEnded",
  ] as const;
  const present: ProcessorMethod[] = names.filter((name) => processor[name] !== undefined);
  return processor[Symbol.asyncDispose] === undefined ? present : [...present, "dispose"];
}

/** The fields of the context of a call that are the same in every thread. */
export type PackedContext = Omit<ProcessContext, "signal" | "checkpoint" | "transact">;

/** What a thread is asked to do: with the processor that all shards share (0), or the one that was made under a number. */
export type Work =
  /** Make the processor of a shard; gives its methods. */
  | { readonly kind: "make"; readonly shardId: string }
  | {
    readonly kind: "run";
    readonly context: PackedContext;
    readonly records: ArrayBuffer;
    /** See {@linkcode Progress}. It does not go over to another process, which has one of its own. */
    readonly progress: SharedArrayBuffer;
  }
  | { readonly kind: "batch"; readonly context: PackedContext; readonly records: ArrayBuffer }
  | {
    readonly kind: "askMode";
    readonly context: PackedContext;
    readonly records: ArrayBuffer;
    readonly error: PackedError;
  }
  | {
    readonly kind: "giveUp";
    readonly context: PackedContext;
    readonly records: ArrayBuffer;
    readonly mode: ErrorHandlingMode;
    readonly error: PackedError;
  }
  | { readonly kind: "shardEnded"; readonly context: PackedContext }
  | { readonly kind: "dispose" };

/** A position as `checkpoint()` names it in the thread; `null` is all that was given. */
export interface PackedPosition {
  readonly sequenceNumber: string;
  readonly subSequenceNumber: number | undefined;
}

/** A record of a batch that failed, by its index. */
export interface PackedFailure {
  readonly index: number;
  readonly error: PackedError;
}

/** From outside into the thread. */
export type ToThread =
  | {
    readonly kind: "call";
    readonly id: number;
    readonly processor: number;
    readonly work: Work;
  }
  /** The signal of a call is aborted. */
  | { readonly kind: "abort"; readonly id: number; readonly reason: PackedError }
  | { readonly kind: "checkpointed"; readonly id: number; readonly error?: PackedError }
  /** Is the thread there? */
  | { readonly kind: "ping" };

/** From the thread to the outside. */
export type FromThread =
  /** The processor is loaded. `methods` is null for a factory. */
  | { readonly kind: "ready"; readonly methods: readonly ProcessorMethod[] | null }
  /** The processor could not be loaded. */
  | { readonly kind: "refused"; readonly error: PackedError }
  | {
    readonly kind: "reply";
    readonly id: number;
    /** What the method returned; of a run, how many records are finished, also when the one after those failed. */
    readonly value?: unknown;
    readonly error?: PackedError;
    /** Of a batch: the records that failed. */
    readonly failed?: readonly PackedFailure[];
  }
  | {
    readonly kind: "checkpoint";
    readonly id: number;
    readonly shardId: string;
    readonly term: number;
    readonly position: PackedPosition | null;
  }
  /** Something failed that no call waits for. */
  | { readonly kind: "stray"; readonly error: PackedError }
  | { readonly kind: "pong" };

/** From outside into the process in which the thread is. What is not for the process itself it passes on. */
export type ToProcess =
  | ToThread
  /** No further record of a run is to be started. */
  | { readonly kind: "stopRun"; readonly call: number }
  /** What does the memory say that the process shares with its thread? */
  | { readonly kind: "look" };

/** From the process in which the thread is to the outside. */
export type FromProcess =
  | FromThread
  | {
    readonly kind: "looked";
    /** See {@linkcode ThreadSettings.running}. */
    readonly running: number;
    /** Of each run the record in hand; see {@linkcode Progress.inHand}. */
    readonly inHand: readonly (readonly [call: number, index: number])[];
  }
  /** The thread ended by itself. */
  | { readonly kind: "broke"; readonly message: string };

/** How far a run is: written by the thread before each record, and read outside also when the thread does not answer. */
export class Progress {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;

  /** @param memory What the other side made; none to make it. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.memory = memory;
    this.#cells = new Int32Array(memory);
  }

  /** The index of the record in hand: those before it are finished. */
  get inHand(): number {
    return Atomics.load(this.#cells, 0);
  }

  set inHand(index: number) {
    Atomics.store(this.#cells, 0, index);
  }

  /** Whether no further record is to be started. */
  get isStopped(): boolean {
    return Atomics.load(this.#cells, 1) === 1;
  }

  stop(): void {
    Atomics.store(this.#cells, 1, 1);
  }
}
