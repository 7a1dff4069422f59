/**
 * Owns: what the process of a thread does besides: it passes on what is said, and says what stands in the memory that it shares
 * with the thread, also when the thread has no time.
 * Must not: run code of the user's, or decide anything.
 * Called by: the entry of that process.
 *
 * @module
 */

import {
  type FromProcess,
  type FromThread,
  Progress,
  type ToProcess,
  type ToThread,
} from "./protocol.ts";
import { recordsOf } from "./thread_port.ts";

/** What a relay works with. */
export interface RelayDeps {
  readonly worker: Worker;
  /** See `ThreadSettings`. */
  readonly running: SharedArrayBuffer;
  /** Says something to the outside. */
  readonly say: (message: FromProcess) => void;
}

/** A thread, as it is seen from the process in which it is. */
export class Relay {
  readonly #worker: Worker;
  readonly #say: (message: FromProcess) => void;
  readonly #running: Int32Array<SharedArrayBuffer>;
  readonly #runs = new Map<number, Progress>();

  constructor({ worker, running, say }: RelayDeps) {
    this.#worker = worker;
    this.#say = say;
    this.#running = new Int32Array(running);
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => this.#passOn(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#broke(event.message);
    };
    worker.onmessageerror = () => this.#broke("a message could not be read");
  }

  /** Takes a message from the outside, and the records that go with it. */
  receive(message: ToProcess, records: ArrayBuffer | undefined): void {
    switch (message.kind) {
      case "look":
        return this.#look();
      case "stopRun":
        return this.#runs.get(message.call)?.stop();
      case "call":
        return this.#post(records === undefined ? message : this.#complete(message, records));
      default:
        return this.#post(message);
    }
  }

  /** A call with its records, and the memory for how far it is. */
  #complete(
    message: Extract<ToThread, { kind: "call" }>,
    records: ArrayBuffer,
  ): ToThread {
    const { id, work } = message;
    if (work.kind !== "run") return { ...message, work: { ...work, records } as typeof work };
    const progress = new Progress();
    this.#runs.set(id, progress);
    return { ...message, work: { ...work, records, progress: progress.memory } };
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message, recordsOf(message));
  }

  #passOn(message: FromThread): void {
    if (message.kind === "reply") this.#runs.delete(message.id);
    this.#say(message);
  }

  #look(): void {
    const inHand = Array.from(this.#runs, ([call, { inHand }]) => [call, inHand] as const);
    this.#say({ kind: "looked", running: Atomics.load(this.#running, 0), inHand });
  }

  #broke(message: string): void {
    this.#look();
    this.#say({ kind: "broke", message });
  }
}
