// Owns: what follows when the process of a thread dies without a word, or does not answer: who is to blame, and who is not.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ThreadEnd } from "../../src/sandbox/live_thread.ts";
import { ProcessorThread } from "../../src/sandbox/processor_thread.ts";
import { Progress, type ToThread } from "../../src/sandbox/protocol.ts";
import type { ThreadListener, ThreadPort } from "../../src/sandbox/thread_port.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

/** A process that does as the test says. */
class FakeProcess implements ThreadPort {
  readonly endsLoops = true;
  readonly gone = Promise.resolve();
  readonly listener: ThreadListener;
  readonly calls: number[] = [];
  readonly stopped: number[] = [];
  isEnded = false;
  isFrozen = false;

  constructor(listener: ThreadListener) {
    this.listener = listener;
    queueMicrotask(() => listener.receive({ kind: "ready", methods: [] }));
  }

  post(message: ToThread): void {
    if (message.kind === "call") this.calls.push(message.id);
  }

  stopRun(call: number): void {
    this.stopped.push(call);
  }

  look(): Promise<void> {
    return this.isFrozen ? new Promise(() => {}) : Promise.resolve();
  }

  end(): void {
    this.isEnded = true;
  }

  answer(id: number): void {
    this.listener.receive({ kind: "reply", id, value: 1 });
  }
}

class Stage {
  readonly clock: VirtualClock = new VirtualClock();
  readonly processes: FakeProcess[] = [];
  readonly strays: unknown[] = [];
  readonly thread: ProcessorThread;

  constructor(processTimeout = 0) {
    this.thread = new ProcessorThread({
      clock: this.clock,
      settings: { processTimeout, checkpointMode: "auto", isSandboxed: true },
      loadTimeoutMs: 60_000,
      prepare: async () => {},
      open: (_, listener) => {
        const process = new FakeProcess(listener);
        this.processes.push(process);
        return process;
      },
      onStray: (error) => this.strays.push(error),
      onLeftBehind: () => {},
      onCheckpoint: async () => {},
    });
  }

  get process(): FakeProcess {
    const process = this.processes.at(-1);
    assert(process);
    return process;
  }

  /** Calls, and says how that ended. */
  call(patience: AbortSignal = new AbortController().signal): Promise<string> {
    const { signal } = new AbortController();
    const makeWork = () => ({ kind: "dispose" }) as const;
    const progress = new Progress();
    return this.thread.call({ processor: 0, makeWork, signal, patience, progress }).then(
      () => "answered",
      (error) =>
        error instanceof ThreadEnd ? (error.isToBlame ? "to blame" : "ended") : String(error),
    );
  }
}

Deno.test("process: of several calls in hand none is to blame; done again one by one, the one that is alone when it dies is", async () => {
  const stage = new Stage();
  const calls = [stage.call(), stage.call(), stage.call()];
  await settled();
  stage.process.listener.died("gone");
  assertEquals(await Promise.all(calls), ["ended", "ended", "ended"]);
  assertEquals(stage.strays.length, 1);
  assertMatch(String(stage.strays[0]), /in the process of the processor: gone/);
  assert(stage.thread.isCareful);
  const again = [stage.call(), stage.call(), stage.call()];
  await settled();
  assertEquals(stage.process.calls.length, 1, "one at a time");
  stage.process.answer(1);
  assertEquals(await again[0], "answered");
  await settled();
  assertEquals(stage.process.calls.length, 2);
  stage.process.listener.died("gone");
  assertEquals(await again[1], "to blame");
  assertEquals(stage.strays.length, 1, "its failure tells it");
  await stage.clock.advance(200);
  assertEquals(stage.process.calls.length, 1, "the next in line is in the next process");
  stage.process.answer(1);
  assertEquals(await again[2], "answered");
  await stage.thread.close();
});

Deno.test("process: a call alone by chance is not to blame at once: somebody outside may have ended it", async () => {
  const stage = new Stage();
  const call = stage.call();
  await settled();
  stage.process.listener.died("killed");
  assertEquals(await call, "ended");
  await stage.thread.close();
});

Deno.test("process: care ends when all that was in hand is done, and some time has passed", async () => {
  const stage = new Stage();
  const calls = [stage.call(), stage.call()];
  await settled();
  stage.process.listener.died("gone");
  await Promise.all(calls);
  const slow = stage.call();
  await stage.clock.advance(6_000);
  assert(stage.thread.isCareful, "one is not done");
  stage.process.answer(1);
  await slow;
  const last = stage.call();
  await settled();
  stage.process.answer(2);
  await last;
  assert(!stage.thread.isCareful);
  const together = [stage.call(), stage.call()];
  await settled();
  assertEquals(stage.process.calls.length, 4);
  stage.process.answer(3);
  stage.process.answer(4);
  assertEquals(await Promise.all(together), ["answered", "answered"]);
  await stage.thread.close();
});

Deno.test("process: who waits in line for being alone may leave it, and holds up nobody", async () => {
  const stage = new Stage();
  const first = stage.call();
  await settled();
  stage.process.listener.died("gone");
  await first;
  const head = stage.call();
  const leaving = new AbortController();
  const waiting = stage.call(leaving.signal);
  const next = stage.call();
  await settled();
  leaving.abort(new Error("stop"));
  assertEquals(await waiting, "Error: stop");
  assertEquals(stage.process.calls, [1]);
  stage.process.answer(1);
  await settled();
  stage.process.answer(2);
  assertEquals(await Promise.all([head, next]), ["answered", "answered"]);
  await stage.thread.close();
});

Deno.test("process: one that does not answer at all is ended, and no call blamed; without a call it is left alone", async () => {
  const stage = new Stage(1_000);
  await stage.thread.start();
  stage.process.isFrozen = true;
  await stage.clock.advance(60_000);
  assert(!stage.process.isEnded);
  const call = stage.call();
  await stage.clock.advance(10_200);
  assertEquals(await call, "ended");
  assert(stage.process.isEnded);
  assertMatch(String(stage.strays), /does not answer for 10000 ms/);
  await stage.thread.close();
});

Deno.test("process: that no further record is to be started is told to the process, too", async () => {
  const stage = new Stage();
  const patience = new AbortController();
  const call = stage.call(patience.signal);
  await settled();
  patience.abort();
  assertEquals(stage.process.stopped, [1]);
  stage.process.answer(1);
  assertEquals(await call, "answered");
  await stage.thread.close();
});
