/**
 * Owns: the way to a thread in a process of its own: a process can be ended, whatever the thread does, and a thread cannot.
 * Must not: know what program the process is, or what it may do.
 * Called by: `processor_process.ts`.
 *
 * @module
 */

import { messageOf } from "../errors.ts";
import { encodeFrame, type Output, PieceReader } from "./frames.ts";
import { type FromProcess, Progress, type ToProcess, type ToThread } from "./protocol.ts";
import { recordsOf, type ThreadListener, type ThreadPort } from "./thread_port.ts";

/** What the process is told first. */
export interface ProcessSetup<T> {
  /** What each piece of a message begins with that comes out of it. */
  readonly marker: Uint8Array;
  readonly setup: T;
}

/** A process with a thread in it. */
export interface ProcessPortOptions<T> {
  /** With pipes for stdin and stdout. */
  readonly child: Deno.ChildProcess;
  readonly first: ProcessSetup<T>;
  /** See `ThreadSettings`; the process has one of its own. */
  readonly running: SharedArrayBuffer;
  readonly listener: ThreadListener;
  /** Gets what the processor writes to stdout. */
  readonly onPrint: (bytes: Uint8Array) => void;
}

/** Opens the way to a process that was just started. */
export function processPort<T>(options: ProcessPortOptions<T>): ThreadPort {
  return new ProcessPort(options);
}

class ProcessPort<T> implements ThreadPort {
  readonly endsLoops = true;
  readonly gone: Promise<void>;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #listener: ThreadListener;
  readonly #onPrint: (bytes: Uint8Array) => void;
  readonly #running: Int32Array<SharedArrayBuffer>;
  /** Of each run what the outside knows of it. */
  readonly #runs = new Map<number, Progress>();
  #looked: PromiseWithResolvers<void> | undefined;
  #isEnded = false;

  constructor({ child, first, running, listener, onPrint }: ProcessPortOptions<T>) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#listener = listener;
    this.#onPrint = onPrint;
    this.#running = new Int32Array(running);
    this.#send(first, undefined);
    this.gone = this.#follow(new PieceReader(first.marker));
  }

  post(message: ToThread): void {
    if (message.kind !== "call" || !("records" in message.work)) return this.#post(message);
    const { work } = message;
    if (work.kind === "run") this.#runs.set(message.id, new Progress(work.progress));
    // Those go beside it, and memory cannot be shared.
    const { records: _, ...rest } = work;
    const { progress: __, ...bare } = { progress: undefined, ...rest };
    this.#send({ ...message, work: bare }, recordsOf(message)[0]);
  }

  stopRun(call: number): void {
    this.#post({ kind: "stopRun", call });
  }

  look(): Promise<void> {
    this.#looked ??= Promise.withResolvers();
    this.#post({ kind: "look" });
    return this.#looked.promise;
  }

  end(): void {
    this.#isEnded = true;
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It ended by itself in the meantime.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  #post(message: ToProcess): void {
    this.#send(message, undefined);
  }

  #send(message: unknown, records: ArrayBuffer | undefined): void {
    if (this.#isEnded) return;
    for (const bytes of encodeFrame({ message, records })) {
      // It fails when the process is gone, of which `#follow` tells.
      this.#stdin.write(bytes).catch(() => {});
    }
  }

  /** Reads what comes until nothing is left of the process. */
  async #follow(reader: PieceReader): Promise<void> {
    try {
      for await (const bytes of this.#child.stdout) {
        for (const output of reader.push(bytes)) this.#receive(output);
      }
    } catch (error) {
      this.#died(`what its process says cannot be read: ${messageOf(error)}`);
      this.end();
    }
    const { code, signal } = await this.#child.status;
    this.#died(`its process ended with ${signal ?? `exit code ${code}`}`);
    await this.#stdin.abort().catch(() => {}); // What was on its way to it fails once more.
  }

  #died(message: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#listener.died(message);
  }

  #receive(output: Output): void {
    if (output.kind === "print") return this.#onPrint(output.bytes);
    if (this.#isEnded) return;
    const message = output.message as FromProcess;
    switch (message.kind) {
      case "looked":
        Atomics.store(this.#running, 0, message.running);
        for (const [call, index] of message.inHand) {
          const progress = this.#runs.get(call);
          if (progress !== undefined) progress.inHand = index;
        }
        this.#looked?.resolve();
        this.#looked = undefined;
        break;
      case "broke":
        this.#listener.broke(message.message);
        break;
      case "reply":
        this.#runs.delete(message.id);
        this.#listener.receive(message);
        break;
      default:
        this.#listener.receive(message);
    }
  }
}
