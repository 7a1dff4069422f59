// Owns: a processor in a thread of its own does, and is told, what it would in the main thread, whatever it does.
import { assert, assertEquals } from "@std/assert";
import type { ReactoKinesixConfig } from "../../src/core/config.ts";
import type { AppEvent } from "../../src/events.ts";
import { Rig, type Setup } from "./thread_testing.ts";

/** A processor, and when it is done. */
interface Case {
  readonly code: string;
  readonly config?: ReactoKinesixConfig;
  /** How many of the five records are finished in the end. */
  readonly finished?: number;
  /** Whether the shard is closed after its records. */
  readonly isClosed?: boolean;
  /** An event after which nothing more happens, if it is not the last record. */
  readonly last?: AppEvent["type"];
}

const BROKEN = `class Broken extends Error { name = "Broken"; code = 7; }`;

const CASES: Readonly<Record<string, Case>> = {
  "fast": { code: `export default { process(r) { log(r.text()) } }` },
  "slow": {
    code:
      `export default { async process(r) { await new Promise((f) => setTimeout(f, 5)); log(r.text()) } }`,
  },
  "a class with state": {
    code: `class P { n = 0; process(r) { log(r.text() + " " + (this.n += 1)) } }
      export default new P()`,
  },
  "all that a record and a context are": {
    code: `export default { process(r, c) {
      const { signal, checkpoint, ...rest } = c;
      log(JSON.stringify([{ ...r, approximateArrivalTimestamp: r.approximateArrivalTimestamp instanceof Date },
        r.data.buffer.byteLength, r.data instanceof Uint8Array, rest, signal.aborted, typeof checkpoint,
        Object.keys(r), Object.keys(c).sort()])) } }`,
  },
  "fails at first": {
    code: `export default { process(r, { attempt }) {
      log(r.text() + "#" + attempt);
      if (r.text() === "2" && attempt < 3) throw new TypeError("no " + attempt) } }`,
  },
  "a failure and its questions": {
    code: `${BROKEN}
      export default {
        process(r, c) { log(r.text() + "#" + c.attempt);
          if (r.text() === "3") throw new Broken("b", { cause: new RangeError("deep") }) },
        getErrorHandlingMode(r, e, c) {
          log(["mode", r.text(), e instanceof Broken, e.name, e.message, e.code, e.cause?.name, c.attempt].join());
          return retryAndSkip(1) },
        onMaxRetryExceeded(r, m, e, c) {
          log(["gave up", r.text(), m.kind, m.retries, e instanceof Broken, e.message, c.attempt].join()) },
      }`,
  },
  "rejects, and asks late": {
    code: `export default {
      async process(r) { await 0; log(r.text()); if (r.text() === "1") throw new SyntaxError("s") },
      async getErrorHandlingMode() { await 0; return retryAndSkip(0) },
      async onMaxRetryExceeded(r) { await 0; log("gave up " + r.text()) } }`,
  },
  "stops": {
    code: `export default {
      process(r) { log(r.text()); if (r.text() === "3") throw new Error("stop") },
      getErrorHandlingMode: () => retryAndStop(1),
      onMaxRetryExceeded(r, m) { log("gave up " + r.text() + m.kind) } }`,
    finished: 2,
    last: "shard_stopped",
  },
  "throws what is no error": {
    code:
      `const odd = { 1: "text", 2: undefined, 3: 42, 4: { toString: () => "an object" }, 5: null };
      export default {
        process(r) { log(r.text()); throw odd[r.text()] },
        getErrorHandlingMode(r, e) { log(typeof e + String(e)); return retryAndSkip(0) } }`,
  },
  "throws what cannot be read": {
    code: `const odd = {
        1: new Proxy({}, { get() { throw new Error("get") }, getPrototypeOf() { throw new Error("proto") } }),
        2: Object.assign(new Error("a"), { get: 1 }), 3: Symbol("s"), 4: () => {}, 5: Object.create(null) };
      Object.defineProperty(odd[2], "message", { get() { throw new Error("message") } });
      export default {
        process(r) { log(r.text()); throw odd[r.text()] },
        getErrorHandlingMode(r, e) { log(String(e === odd[r.text()])); return retryAndSkip(0) } }`,
  },
  "modes that are none": {
    code:
      `const odd = { 1: "skip", 2: undefined, 3: { kind: "retryAndSkip", retries: -1 }, 4: () => {},
        5: { kind: "retryAndSkip", retries: 0, more() {} } };
      export default { process(r) { log(r.text()); throw new Error(r.text()) },
        getErrorHandlingMode: (r) => odd[r.text()] }`,
  },
  "throws everywhere": {
    code: `export default { process(r) { throw new Error("p" + r.text()) },
        getErrorHandlingMode() { throw new Error("mode") },
        onMaxRetryExceeded() { throw new Error("gave up") },
        shardEnded() { log("ended"); throw new Error("ended") },
        [Symbol.asyncDispose]() { log("disposed"); throw new Error("dispose") } }`,
    isClosed: true,
    last: "shard_stopped",
  },
  "a batch": {
    code: `export default {
      processBatch(rs, c) { log(rs.map((r) => r.text()).join() + "#" + c.attempt);
        if (c.attempt < 2) throw new Error("batch") },
      getErrorHandlingMode(r, e) { log(r.text() + e.message); return retryAndSkip(1) } }`,
  },
  "a batch that is given up": {
    code: `export default {
      async processBatch() { throw new Error("batch") },
      getErrorHandlingMode: () => retryAndSkip(0),
      onMaxRetryExceeded(r) { log("gave up " + r.text()) } }`,
  },
  "a batch of which some fail": {
    code: `class Broken extends Error { name = "Broken" }
      export default {
        async processBatch(rs, c) { log(rs.map((r) => r.text()).join() + "#" + c.attempt);
          return { failed: rs.flatMap((record) => record.text() === "2" ? [record]
            : record.text() === "4" ? [{ record, error: new Broken("no") }]
            : record.text() === "5" ? [{ record, error: "text" }] : []), more: () => {} } },
        getErrorHandlingMode(r, e) {
          log(r.text() + (e instanceof Broken) + (e instanceof Error) + (e.name ?? e) + e.message); return retryAndSkip(1) },
        onMaxRetryExceeded(r, m, e) { log("gave up " + r.text() + (e instanceof Broken) + (e.name ?? e)) } }`,
  },
  "a batch that names what it was not given": {
    code: `export default {
      processBatch(rs, c) { log(rs.length + "#" + c.attempt);
        return { failed: c.attempt === 1 ? ["1"] : c.attempt === 2 ? "2" : [] } },
      getErrorHandlingMode(r, e) { log(e.name + e.message); return retryAndSkip(2) } }`,
  },
  "a batch that is halved": {
    code: `export default {
      processBatch(rs, c) { log(rs.map((r) => r.text()).join() + "#" + c.attempt);
        if (rs.some((r) => r.text() === "4")) throw new Error("batch") },
      getErrorHandlingMode(r, e) { log(r.text() + e.message); return retryAndSkip(1) },
      onMaxRetryExceeded(r) { log("gave up " + r.text()) } }`,
    config: { bisectBatchOnError: true },
  },
  "records that become too old": {
    code: `export default {
      async process(r, c) { log(r.text() + "#" + c.attempt); await new Promise((go) => setTimeout(go, 2_500)); throw new Error("x") },
      getErrorHandlingMode: () => retryAndSkip(9),
      onMaxRetryExceeded(r, m, e, c) {
        log([r.text(), m.kind, m.retries, c.attempt, e.name, e.cause?.message].join(" ")) } }`,
    // As much time to start as can be, with the next one too late for sure.
    config: { maxRecordAge: 2_400 },
  },
  "records that become too old while others are processed": {
    code: `export default {
      async process(r) { log(r.text()); await new Promise((go) => setTimeout(go, 2_000)) },
      onMaxRetryExceeded(r, m, e, c) { log([r.text(), c.attempt, e.name, e.cause].join(" ")) } }`,
    config: { maxRecordAge: 3_900 },
  },
  "a factory": {
    code: `export default (shardId) => { log("made for " + shardId);
      return { process(r) { log(r.text()) }, shardEnded(c) { log("ended " + c.shardId) },
        [Symbol.asyncDispose]() { log("disposed " + shardId) } } }`,
    isClosed: true,
    last: "shard_ended",
  },
  "a factory that fails twice": {
    code:
      `let n = 0; export default async () => { await 0; log("made " + n); if (n++ < 2) throw new Error("f" + n);
      return { process(r) { log(r.text()) } } }`,
  },
  "a factory that makes nothing": {
    code: `export default () => ({ nothing: true })`,
    finished: 0,
    last: "shard_stopped",
  },
  "the end of a shard, at the second try": {
    code: `let n = 0; export default { process(r) { log(r.text()) },
      shardEnded(c) { log("ended #" + c.attempt); if (n++ < 1) throw new Error("not yet") } }`,
    isClosed: true,
    last: "shard_ended",
  },
  "a checkpoint by hand that is not asked for": {
    code: `export default {
      process(r, c) { try { c.checkpoint() } catch (e) { log(e.name + ": " + e.message) } } }`,
  },
  "checkpoints by hand": {
    code: `export default {
      async process(r, c) { if (r.text() === "3") { await c.checkpoint(); log("checkpointed") } },
      async shardEnded(c) { await c.checkpoint(); log("all") } }`,
    config: { checkpointMode: "manual" },
    isClosed: true,
    last: "shard_ended",
  },
  "a checkpoint by hand, of an earlier record, in the background": {
    code: `const kept = []; export default {
      process(r, c) { kept.push([r, c]);
        if (r.text() === "5") setTimeout(async () => {
          const [[second], , [, context]] = [kept[1], 0, kept[4]];
          await context.checkpoint(second); log("2"); await context.checkpoint(); log("5") }, 20) } }`,
    config: { checkpointMode: "manual" },
    last: "checkpoint_written",
  },
  "a checkpoint by hand after a record of another shard": {
    code: `export default {
      process(r, c) { try { c.checkpoint({ ...r, shardId: "other" }) }
        catch (e) { log(e.name + ": " + e.message) } } }`,
    config: { checkpointMode: "manual" },
  },
  "never ends": {
    code: `export default {
      process(r, c) { log(r.text()); if (r.text() !== "2") return;
        return new Promise(() => c.signal.addEventListener("abort", () => log("aborted " + c.signal.reason.name))) },
      getErrorHandlingMode: () => retryAndSkip(0) }`,
    config: { processTimeout: 150 },
  },
  "never answers": {
    code: `export default {
      process(r) { log(r.text()); if (r.text() === "2") throw new Error("x") },
      getErrorHandlingMode: () => new Promise(() => {}),
      onMaxRetryExceeded: () => new Promise(() => {}) }`,
    config: { processTimeout: 150 },
  },
  "changes its record": {
    code: `export default { process(r, { attempt }) { log(r.text()); r.data[0] = 65;
      if (attempt === 1) throw new Error("again") }, getErrorHandlingMode: () => retryAndSkip(0) }`,
  },
  "returns what cannot be sent": {
    code: `export default {
      processBatch(rs, { attempt }) { log(rs.length + "#" + attempt); if (attempt < 2) throw new Error("once"); return () => rs },
      getErrorHandlingMode: () => retryAndSkip(1),
      shardEnded() { log("ended"); return [() => {}] },
      [Symbol.asyncDispose]() { log("disposed"); return Promise.resolve(() => {}) } }`,
    isClosed: true,
    last: "shard_ended",
  },
  "gives up, and returns what cannot be sent": {
    code: `export default { process(r) { throw new Error(r.text()) },
      getErrorHandlingMode: () => retryAndSkip(0), onMaxRetryExceeded(r) { log(r.text()); return () => r } }`,
  },
  "errors with the names of members that every object has": {
    code: `const names = { 1: "toString", 2: "__proto__", 3: "constructor", 4: "valueOf", 5: "" };
      export default { process(r) { throw Object.assign(new Error(r.text()), { name: names[r.text()] }) },
        getErrorHandlingMode(r, e) { log(e.name + e.message); return retryAndSkip(0) } }`,
  },
  "reads what is not there": {
    code:
      `export default { process(r) { r.json().deep.er }, getErrorHandlingMode: () => retryAndSkip(0) }`,
  },
};

const SHARD = "shardId-000000000000";
const RECORDS = ["1", "2", "3", "4", "5"].map((text) => [`key ${text}`, text] as const);

/** Where a processor runs. */
const PLACES: Readonly<Record<string, Partial<Setup>>> = {
  "in a thread": { threads: 1 },
  "in a thread in a process": { threads: 1, hasProcesses: true },
};

async function play(testCase: Case, place: Partial<Setup>): Promise<readonly unknown[]> {
  const { code, config = {}, finished = 5, isClosed = false, last } = testCase;
  await using rig = await Rig.start({
    code,
    records: RECORDS,
    config,
    ...place,
  });
  if (isClosed) rig.stream.split(SHARD);
  await rig.until(`${finished} records`, () => rig.processed() >= finished);
  const hasCome = (): boolean => last === undefined || rig.told(last).length > 0;
  await rig.until(`${last}`, hasCome);
  if (last === "checkpoint_written") await rig.until("both", () => rig.lines().length === 2);
  await rig.stop();
  assertEquals(rig.strays, []);
  // Whether the children of a closed shard are taken before the stop is a matter of luck.
  const told = rig.events.filter((event) =>
    TOLD.has(event.type) && (!("shardId" in event) || [SHARD, null].includes(event.shardId))
  ).map(({ time: _, ...event }) => event);
  return [rig.lines(), told, rig.processed()];
}

const TOLD = new Set<AppEvent["type"]>([
  "batch_bisected",
  "record_failed",
  "record_skipped",
  "processor_failed",
  "shard_stopped",
  "shard_ended",
  "shard_end_waiting",
  "shard_released",
  "task_failed",
]);

for (const [name, testCase] of Object.entries(CASES)) {
  Deno.test(`parity: ${name}`, async () => {
    // Side by side, since most of the time they wait.
    const [here, ...there] = await Promise.all(
      [{}, ...Object.values(PLACES)].map((place) => play(testCase, place)),
    );
    assert(JSON.stringify(here).length > 30, "something happened");
    for (const [i, where] of Object.keys(PLACES).entries()) assertEquals(there[i], here, where);
  });
}
