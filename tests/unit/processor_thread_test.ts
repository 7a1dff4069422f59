// Owns: the thread of a processor from outside: who is to blame when it does not answer, and when another one is started.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LiveThread, ThreadEnd } from "../../src/sandbox/live_thread.ts";
import { packError } from "../../src/sandbox/packed_error.ts";
import { ProcessorThread, type ThreadPlaceDeps } from "../../src/sandbox/processor_thread.ts";
import {
  type FromThread,
  Progress,
  type ThreadSettings,
  type ToThread,
  type Work,
} from "../../src/sandbox/protocol.ts";
import { workerPort } from "../../src/sandbox/thread_port.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

/** A Worker that does as the test says. */
class FakeWorker {
  onmessage: ((event: { readonly data: FromThread }) => void) | undefined;
  onerror: ((event: { readonly message: string; preventDefault(): void }) => void) | undefined;
  readonly received: ToThread[] = [];
  readonly #running: Int32Array<SharedArrayBuffer>;
  onCall: () => void = () => {};
  isTerminated = false;
  /** Whether it gets its turn to answer. */
  isBlocked = false;

  constructor({ running }: ThreadSettings) {
    this.#running = new Int32Array(running);
  }

  postMessage(message: ToThread): void {
    this.received.push(message);
    if (message.kind === "call") queueMicrotask(this.onCall);
    if (message.kind === "ping" && !this.isBlocked) this.say({ kind: "pong" });
  }

  terminate(): void {
    this.isTerminated = true;
  }

  say(data: FromThread): void {
    if (!this.isTerminated) this.onmessage?.({ data });
  }

  /** Says that the code of a call runs now; 0 for none. */
  runs(id: number): void {
    Atomics.store(this.#running, 0, id);
  }

  calls(): readonly number[] {
    return this.received.flatMap((message) => message.kind === "call" ? [message.id] : []);
  }
}

class Stage {
  readonly clock: VirtualClock = new VirtualClock();
  readonly workers: FakeWorker[] = [];
  readonly strays: unknown[] = [];
  readonly checkpoints: unknown[] = [];
  leftBehind = 0;
  /** What a Worker does first. */
  onStart: (worker: FakeWorker) => void = (worker) => worker.say({ kind: "ready", methods: [] });
  readonly deps: ThreadPlaceDeps;

  constructor(processTimeout = 1_000) {
    this.deps = {
      clock: this.clock,
      settings: { processTimeout, checkpointMode: "manual", isSandboxed: false },
      loadTimeoutMs: 60_000,
      prepare: async () => {},
      open: (settings, listener) => {
        const worker = new FakeWorker(settings);
        this.workers.push(worker);
        queueMicrotask(() => this.onStart(worker));
        return workerPort(worker as unknown as Worker, listener);
      },
      onStray: (error) => this.strays.push(error),
      onLeftBehind: () => this.leftBehind += 1,
      onCheckpoint: (...request) => {
        this.checkpoints.push(request);
        return request[0] === "lost" ? Promise.reject(new Error("lost")) : Promise.resolve();
      },
    };
  }

  get worker(): FakeWorker {
    const worker = this.workers.at(-1);
    assert(worker);
    return worker;
  }

  async live(): Promise<LiveThread> {
    const thread = new LiveThread(this.deps, () => {});
    await thread.loaded();
    return thread;
  }
}

const until = new AbortController().signal;
const DISPOSE: Work = { kind: "dispose" };

/** How a call ended. */
function fate(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "answered",
    (error) =>
      error instanceof ThreadEnd
        ? `${error.isToBlame ? "to blame" : "ended"} ${error.finished}`
        : "other",
  );
}

Deno.test("thread: of the calls that stand still the one whose code runs is to blame, and the others are not", async () => {
  const stage = new Stage();
  const thread = await stage.live();
  const progress = new Progress();
  const calls = [
    fate(thread.call(0, DISPOSE)),
    fate(thread.call(0, DISPOSE, { run: { progress, until } })),
    fate(thread.call(0, DISPOSE)),
  ];
  stage.worker.isBlocked = true;
  stage.worker.runs(2);
  progress.inHand = 7;
  await stage.clock.advance(3_000);
  assertEquals(await Promise.all(calls), ["ended 0", "to blame 7", "ended 0"]);
  assert(stage.worker.isTerminated);
  assertEquals(stage.leftBehind, 1, "what blocks it may go on");
});

Deno.test("thread: if nobody knows whose code runs, it is that of the only call, and of several nobody is to blame", async () => {
  for (const [others, fates] of [[0, ["to blame 0"]], [1, ["ended 0", "ended 0"]]] as const) {
    const stage = new Stage();
    const thread = await stage.live();
    const calls = [fate(thread.call(0, DISPOSE))];
    stage.worker.isBlocked = true;
    await stage.clock.advance(1_000);
    for (let i = 0; i < others; i++) calls.push(fate(thread.call(0, DISPOSE)));
    await stage.clock.advance(600);
    assertEquals(await Promise.all(calls), [...fates]);
  }
});

Deno.test("thread: a thread that answers is left alone, and one whose code has some time left is too", async () => {
  const stage = new Stage();
  const thread = await stage.live();
  void fate(thread.call(0, DISPOSE));
  await stage.clock.advance(60_000);
  assert(!stage.worker.isTerminated, "it waits for something");
  stage.worker.isBlocked = true;
  const progress = new Progress();
  void fate(thread.call(0, DISPOSE, { run: { progress, until } }));
  stage.worker.runs(2);
  for (let record = 1; record < 20; record++) {
    await stage.clock.advance(900);
    progress.inHand = record;
  }
  assert(!stage.worker.isTerminated, "each record has a time of its own");
  await stage.clock.advance(3_000);
  assert(stage.worker.isTerminated);
  thread.end(new Error("test over"));
});

Deno.test("thread: without a limit nothing is looked at", async () => {
  const stage = new Stage(0);
  const thread = await stage.live();
  void fate(thread.call(0, DISPOSE));
  stage.worker.isBlocked = true;
  await stage.clock.advance(86_400_000);
  assert(!stage.worker.isTerminated);
  assertEquals(stage.clock.sleeping, 0);
  thread.end(new Error("test over"));
});

Deno.test("thread: what breaks it is told, and blamed on what runs", async () => {
  const stage = new Stage();
  const thread = await stage.live();
  const calls = [fate(thread.call(0, DISPOSE)), fate(thread.call(0, DISPOSE))];
  stage.worker.runs(1);
  stage.worker.onerror?.({ message: "no memory", preventDefault() {} });
  assertEquals(await Promise.all(calls), ["to blame 0", "ended 0"]);
  const idle = await stage.live();
  stage.worker.onerror?.({ message: "no memory", preventDefault() {} });
  assertMatch(String(stage.strays), /it ended: no memory/);
  await assertRejects(() => idle.call(0, DISPOSE), ThreadEnd);
});

Deno.test("thread: checkpoints are asked for outside, and what became of them is told inside", async () => {
  const stage = new Stage();
  const thread = await stage.live();
  const position = { sequenceNumber: "5", subSequenceNumber: undefined };
  stage.worker.say({ kind: "checkpoint", id: 1, shardId: "s", term: 3, position });
  stage.worker.say({ kind: "checkpoint", id: 2, shardId: "lost", term: 3, position: null });
  await settled();
  assertEquals(stage.checkpoints, [["s", 3, position], ["lost", 3, null]]);
  const told = stage.worker.received.filter(({ kind }) => kind === "checkpointed");
  assertEquals(told.map((message) => "error" in message && message.error !== undefined), [
    false,
    true,
  ]);
  thread.end(new Error("test over"));
});

Deno.test("thread: a processor that never loads is given up, one that is refused says why", async () => {
  const stage = new Stage();
  stage.onStart = () => {};
  const thread = new LiveThread(stage.deps, () => {});
  const loading = assertRejects(() => thread.loaded(), Error, "within 60000 ms");
  await stage.clock.advance(60_000);
  await loading;
  assert(stage.worker.isTerminated);
  stage.onStart = (worker) =>
    worker.say({ kind: "refused", error: packError(new TypeError("no processor")) });
  await assertRejects(() => stage.live(), TypeError, "no processor");
});

/** A place for threads, and a call in it. */
function place(stage: Stage): { readonly thread: ProcessorThread; call(): Promise<string> } {
  const thread = new ProcessorThread(stage.deps);
  const { signal } = new AbortController();
  return {
    thread,
    call: () =>
      fate(thread.call({ processor: 0, makeWork: () => DISPOSE, signal, patience: signal })),
  };
}

Deno.test("thread: another one follows, ever later while each of them ends", async () => {
  const stage = new Stage();
  const { thread, call } = place(stage);
  const starts: number[] = [];
  stage.onStart = (worker) => {
    starts.push(stage.clock.monotonic());
    worker.onCall = () => worker.onerror?.({ message: "it crashed", preventDefault() {} });
    worker.say({ kind: "ready", methods: [] });
  };
  for (let i = 0; i < 12; i++) assertEquals(await stage.clock.until(call()), "to blame 0");
  const pauses = starts.slice(1).map((at, i) => at - (starts[i] ?? 0));
  for (const [i, pause] of pauses.entries()) {
    const least = i === 0 ? 0 : Math.min(10_000, 100 * 2 ** (i - 1));
    assert(pause === least, `pause ${i}: ${pause}`);
  }
  await thread.close();
});

Deno.test("thread: that none can be started is told, and waited for; no call fails because of it", async () => {
  const stage = new Stage();
  const { thread, call } = place(stage);
  let starts = 0;
  stage.onStart = (worker) => {
    starts += 1;
    if (starts < 4) worker.say({ kind: "refused", error: packError(new Error(`no ${starts}`)) });
    else worker.say({ kind: "ready", methods: [] });
  };
  const called = call();
  await stage.clock.advance(2_000);
  assertEquals(starts, 4);
  assertEquals(stage.strays.map(String), ["Error: no 1", "Error: no 2", "Error: no 3"]);
  const [id = 0] = stage.worker.calls();
  stage.worker.say({ kind: "reply", id, value: 1 });
  assertEquals(await called, "answered");
  await thread.close();
});

Deno.test("thread: closed, it ends its call and starts no other", async () => {
  const stage = new Stage();
  const { thread, call } = place(stage);
  const called = call();
  await settled();
  await thread.close();
  assertEquals(await called, "ended 0");
  assertEquals(await call(), "other");
  assertEquals(stage.workers.length, 1);
  assertEquals(stage.clock.sleeping, 0, "no timer is left");
});
