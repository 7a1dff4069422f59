// Owns: what holds whatever the user's code does: hangs, rejects, throws oddly, or checkpoints when it likes.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { ReactoKinesixConfig } from "../../src/core/config.ts";
import { retryAndSkip } from "../../src/core/policy.ts";
import { LeaseLostError, toEventError } from "../../src/errors.ts";
import type { KinesisRecord, ProcessContext, ProcessorSource } from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";

const SHARD = "shardId-000000000000";
const MANUAL: ReactoKinesixConfig = { checkpointMode: "manual" };

/** Collects what nobody handled, as long as it is used. */
class Unhandled implements Disposable {
  readonly reasons: unknown[] = [];
  readonly #listener = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.reasons.push(event.reason);
  };

  constructor() {
    globalThis.addEventListener("unhandledrejection", this.#listener);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unhandledrejection", this.#listener);
  }
}

/** Gives a shard to a worker that does not run, behind the back of its owner. */
async function steal({ store }: Cluster): Promise<void> {
  const { term } = await store.shard(SHARD);
  const { kind } = await store.table.write({
    kind: "shard",
    id: SHARD,
    expect: { term },
    set: { owner: "thief", holder: "thief-1", term: term + 1 },
  }, new AbortController().signal);
  assertEquals(kind, "written");
}

for (const processTimeout of [0, 60_000]) {
  Deno.test(`user code: a lost lease starts no second turn beside a process() that still runs, with processTimeout ${processTimeout}`, async () => {
    await using cluster = new Cluster(1);
    const gate = Promise.withResolvers<void>();
    const log: string[] = [];
    let made = 0;
    const factory: ProcessorSource = () => {
      const id = made += 1;
      return {
        process: async () => {
          log.push(`${id} starts`);
          if (id === 1) await gate.promise;
          log.push(`${id} ends`);
        },
        [Symbol.asyncDispose]: () => void log.push(`${id} disposed`),
      };
    };
    cluster.put(1);
    const { told } = await cluster.start("A", factory, { processTimeout });
    await cluster.clock.advance(100);
    cluster.store.fate = ({ kind }) => kind === "worker" ? "request lost" : "made";
    await cluster.clock.advance(6_000);
    cluster.store.fate = () => "made";
    await cluster.clock.advance(12_000);
    assertEquals(told("lease_lost").length, 1);
    assertEquals(log, ["1 starts"]);
    gate.resolve();
    await cluster.clock.advance(30_000);
    assertEquals(log, ["1 starts", "1 ends", "1 disposed", "2 starts", "2 ends"]);
  });
}

Deno.test("manual checkpoints: the end of a shard waits for the checkpoint of its last record", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const given: { readonly record: KinesisRecord; readonly context: ProcessContext }[] = [];
  cluster.put(5);
  const { told } = await cluster.start("A", {
    process: (record, context) => {
      journal.lines.push({ worker: "A", shard: record.shardId, text: record.text() });
      given.push({ record, context });
    },
  }, MANUAL);
  cluster.stream.split(SHARD);
  cluster.put(5, 5);
  await cluster.clock.advance(30_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "trimHorizon" });
  assertEquals(told("shard_end_waiting").map(({ shardId }) => shardId), [SHARD]);
  assertEquals(told("shard_ended"), []);
  const [, , , fourth, last] = given;
  await fourth?.context.checkpoint();
  await cluster.clock.advance(30_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, {
    kind: "sequence",
    sequenceNumber: "4",
  });
  assertEquals(journal.numbers(), upTo(5), "no record of a child came meanwhile");
  await last?.context.checkpoint();
  await cluster.clock.advance(1_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "shardEnd" });
  assertEquals(journal.numbers(), upTo(10));
});

Deno.test("manual checkpoints: a checkpoint in shardEnded means the whole shard", async () => {
  await using cluster = new Cluster(1);
  cluster.put(5);
  const { told } = await cluster.start("A", {
    process: () => {},
    shardEnded: (context) => context.checkpoint(),
  }, MANUAL);
  cluster.stream.split(SHARD);
  await cluster.clock.advance(2_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "shardEnd" });
  assertEquals(told("shard_end_waiting"), []);
  assertEquals(told("shard_ended").map(({ shardId }) => shardId), [SHARD]);
});

Deno.test("manual checkpoints: a stop does not wait for checkpointFrequency", async () => {
  await using cluster = new Cluster(1);
  cluster.put(5);
  let finished = 0;
  const { app, told } = await cluster.start("A", {
    process: async (_record, context) => {
      await context.checkpoint();
      finished += 1;
    },
  }, { ...MANUAL, checkpointFrequency: 60_000, shutdownTimeout: 30_000 });
  await cluster.clock.advance(10_000);
  assertEquals(finished, 1, "the second checkpoint is not due yet");
  const before = cluster.clock.monotonic();
  await cluster.clock.until(app.stop());
  assert(cluster.clock.monotonic() - before < 100);
  assertEquals(finished, 2);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, {
    kind: "sequence",
    sequenceNumber: "2",
  });
  assertEquals([...told("task_failed"), ...told("lease_lost")], []);
});

Deno.test("manual checkpoints: one of a lost shard that nobody waits for harms nobody", async () => {
  using unhandled = new Unhandled();
  await using cluster = new Cluster(1);
  let first: ProcessContext | undefined;
  cluster.put(3);
  const { told } = await cluster.start("A", {
    process: (_record, context) => {
      first ??= context;
      void context.checkpoint();
    },
  }, { ...MANUAL, checkpointFrequency: 1_000 });
  await steal(cluster);
  cluster.put(3, 3);
  await cluster.clock.advance(5_000);
  assertEquals(told("lease_lost").length, 1);
  void first?.checkpoint();
  await settled();
  assertEquals(unhandled.reasons, []);
  // Whoever waits for it is told.
  await assertRejects(async () => await first?.checkpoint(), LeaseLostError);
});

Deno.test("events: an async listener that rejects is told as one that failed, and kills nothing", async () => {
  using unhandled = new Unhandled();
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const { app, told } = await cluster.start("A", journal.of("A"));
  const reject = (): Promise<never> => Promise.reject(new Error("async listener"));
  app.addEventListener("batch_processed", reject);
  app.addEventListener("listener_failed", reject);
  cluster.put(10);
  await cluster.clock.advance(1_000);
  await settled();
  assertEquals(unhandled.reasons, []);
  const failures = told("listener_failed");
  assert(failures.length > 0);
  assertEquals(failures.every(({ eventType }) => eventType === "batch_processed"), true);
  assertEquals(failures[0]?.error, { name: "Error", message: "async listener" });
  assertEquals(journal.numbers(), upTo(10));
});

Deno.test("record: what json() throws does not quote the payload", () => {
  const record = new DeliveredRecord(SHARD, {
    sequenceNumber: "17",
    partitionKey: "key",
    approximateArrivalTimestamp: 0,
    data: new TextEncoder().encode("\x1b[2J card 4111-1111"),
  });
  const error = assertThrows(() => record.json(), SyntaxError, "17");
  const told = JSON.stringify(toEventError(error));
  assertEquals(/4111|card|\\u001b/.test(told), false, told);
});

/** Code of the user's that hangs, at the operation that its failure is told as. */
const HANGING: Readonly<Record<string, (never: Promise<never>) => ProcessorSource>> = {
  factory: (never) => () => never,
  getErrorHandlingMode: (never) => ({ process: fail, getErrorHandlingMode: () => never }),
  onMaxRetryExceeded: (never) => ({
    process: fail,
    getErrorHandlingMode: () => retryAndSkip(0),
    onMaxRetryExceeded: () => never,
  }),
  shardEnded: (never) => ({ process: () => {}, shardEnded: () => never }),
};

function fail(): never {
  throw new Error("no");
}

for (const [operation, make] of Object.entries(HANGING)) {
  Deno.test(`user code: a hanging ${operation} ends with processTimeout`, async () => {
    await using cluster = new Cluster(1);
    cluster.put(3);
    const { told } = await cluster.start("A", make(new Promise<never>(() => {})), {
      processTimeout: 500,
    });
    if (operation === "shardEnded") cluster.stream.split(SHARD);
    await cluster.clock.advance(CONFIG.heartbeatTimeout);
    const failures = told("processor_failed").filter(({ shardId }) => shardId === SHARD);
    assert(failures.length > 0);
    assertEquals(new Set(failures.map((failure) => failure.operation)), new Set([operation]));
    assertEquals(failures[0]?.error.name, "ProcessTimeoutError");
    await cluster.clock.advance(60_000);
    const reasons = told("shard_stopped").map(({ reason }) => reason);
    if (operation === "factory" || operation === "shardEnded") {
      assertEquals(new Set(reasons), new Set(["processorFailed"]));
    } else {
      assertEquals(told("record_skipped").length, 3, "the next record had its turn");
    }
  });
}

class Untold extends Error {
  override get message(): string {
    throw new Error("no message");
  }
}

/** What can be thrown, but not be written as text. */
const UNTELLABLE: Readonly<Record<string, () => unknown>> = {
  "an object without a prototype": () => Object.create(null),
  "an error whose message throws": () => new Untold(),
  "an error with an odd name": () => Object.assign(new Error("odd"), { name: Object.create(null) }),
  "a proxy that refuses": () =>
    new Proxy({}, {
      get: fail,
      getPrototypeOf: fail,
    }),
};

for (const [what, make] of Object.entries(UNTELLABLE)) {
  Deno.test(`user code: a throw that cannot be written as text is a failed attempt and nothing more: ${what}`, async () => {
    await using cluster = new Cluster(1);
    const journal = new Journal();
    cluster.put(3);
    const { app, told } = await cluster.start("A", {
      ...journal.of("A", (record) => {
        if (record.text() === "1") throw make();
      }),
      getErrorHandlingMode: () => retryAndSkip(1),
    });
    await cluster.clock.advance(10_000);
    assertEquals(told("worker_stopped"), []);
    assertEquals(told("record_failed").map(({ attempt }) => attempt), [1, 2]);
    assertEquals(told("record_skipped").length, 1);
    assertEquals(journal.texts(), ["0", "1", "1", "2"]);
    await cluster.clock.until(app.stop());
    await app.finished;
  });
}

Deno.test("user code: a hanging dispose keeps a shard from its next owner no longer than processTimeout", async () => {
  await using cluster = new Cluster(1);
  const { app, told } = await cluster.start(
    "A",
    () => ({ process: () => {}, [Symbol.asyncDispose]: () => new Promise(() => {}) }),
    { processTimeout: 1_000 },
  );
  cluster.put(1);
  await cluster.clock.advance(1_000);
  await cluster.clock.until(app.stopProcessing(SHARD));
  assertEquals((await cluster.store.shard(SHARD)).owner, null);
  assertEquals(told("processor_failed").map(({ operation }) => operation), ["dispose"]);
});

Deno.test("user code: a hanging dispose keeps nobody from the next processor for longer than processTimeout", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const factory = () => () => ({
    ...journal.of("A"),
    [Symbol.asyncDispose]: () => new Promise<void>(() => {}),
  });
  const { app, told } = await cluster.start("A", factory(), { processTimeout: 1_000 });
  cluster.put(1);
  await cluster.clock.advance(1_000);
  await cluster.clock.until(app.changeProcessor(factory()), 1_000);
  cluster.put(1, 1);
  await cluster.clock.advance(1_000);
  assertEquals(journal.numbers(), upTo(2));
  assertEquals(told("processor_failed").map(({ operation }) => operation), ["dispose"]);
});

Deno.test("user code: a factory that takes longer than the shard is held gets no record of it", async () => {
  await using cluster = new Cluster(1);
  const gate = Promise.withResolvers<void>();
  const journal = new Journal();
  const { told } = await cluster.start("A", async () => {
    await gate.promise;
    return journal.of("A");
  });
  cluster.put(1);
  await cluster.clock.advance(1_000);
  cluster.store.fate = (change) => change.id === "A" ? "request lost" : "made";
  await cluster.clock.advance(CONFIG.heartbeatTimeout);
  assertEquals(told("worker_fenced").length, 1);
  gate.resolve();
  await settled();
  assertEquals(journal.numbers(), []);
  cluster.store.fate = () => "made";
  await cluster.clock.advance(CONFIG.heartbeatTimeout);
  assertEquals(journal.numbers(), [0]);
});
