// Owns: what every LeaseStore must do, as one suite.
// Must not: know an implementation.
// Called by: lease_store_contract_test.ts.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Checkpoint, SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import {
  advance,
  claim,
  clearHandover,
  create,
  end,
  forget,
  give,
  type LeaseChange,
  newShardRow,
  refuse,
  release,
  requestHandover,
  type ShardRow,
  type WorkerRow,
} from "../../src/core/lease.ts";
import { StoreError } from "../../src/errors.ts";
import type { LeaseStore, WriteResult } from "../../src/ports.ts";
import type { SinkTable } from "./transaction_contract.ts";

/** An item of DynamoDB, as the SDK has it. */
export type RawItem = Record<string, { S: string } | { N: string } | { L: { S: string }[] }>;

/** A state table, and how to reach it. */
export interface LeaseStoreBackend extends AsyncDisposable {
  /** A store for the rows of one stream in the table. */
  store(streamName: string): LeaseStore;
  /** The table that transactions write items to. */
  readonly sink?: SinkTable;
  /** Puts an item past the store; absent where there are no items. */
  putItem?(streamName: string, rowKey: string, item: RawItem): Promise<void>;
}

interface Case {
  readonly store: LeaseStore;
  readonly streamName: string;
  readonly signal: AbortSignal;
  readonly backend: LeaseStoreBackend;
}

const ANNA = { workerId: "anna", incarnation: "anna-1" };
const BERT = { workerId: "bert", incarnation: "bert-1" };
const AT_TEN: Checkpoint = { kind: "sequence", sequenceNumber: "10" };
const PROGRESS = { checkpoint: AT_TEN, checkpointAt: 1_700_000_000_123, millisBehindLatest: 42 };
const WORKER: WorkerRow = {
  kind: "worker",
  id: "anna",
  incarnation: "anna-1",
  beat: 0,
  beatAt: 1_700_000_000_000,
  heartbeatTimeout: 180_000,
  attention: null,
  shards: 0,
  isDraining: false,
  version: "0.1.0",
};

/** Runs the suite on one implementation. */
export function testLeaseStore(
  name: string,
  start: () => Promise<LeaseStoreBackend>,
  options: { readonly ignore?: boolean } = {},
): void {
  Deno.test({
    name: `lease store contract: ${name}`,
    ignore: options.ignore ?? false,
    fn: async (t) => {
      await using backend = await start();
      await backend.store("any").prepare(signal());
      let cases = 0;
      for (const [title, run] of Object.entries(CASES)) {
        const streamName = `stream-${cases++}`;
        const store = backend.store(streamName);
        await t.step(title, () => run({ store, streamName, signal: signal(), backend }));
      }
    },
  });
}

const CASES: Record<string, (test: Case) => Promise<void>> = {
  "a table that is ready is prepared again": async ({ store, signal }) => {
    await store.prepare(signal);
  },

  "a row is as it was created": async ({ store, streamName, signal }) => {
    const shard = newShard("shard-1", { parents: ["p-1", "p-2"] });
    const result = await store.write(create(shard), signal);
    assertEquals(result, { kind: "written", row: shard });
    assertEquals(await store.read("shard", "shard-1", signal), shard);
    const worker = { ...WORKER, attention: "look", isDraining: true };
    assertEquals(await store.write(create(worker), signal), { kind: "written", row: worker });
    const startAt: Checkpoint = { kind: "timestamp", timestamp: 1_700_000_000_000 };
    const stream = { kind: "stream", id: streamName, startAt } as const;
    assertEquals(await store.write(create(stream), signal), { kind: "written", row: stream });
    assertEquals(await store.read("stream", streamName, signal), stream);
    assertEquals(await store.list("stream", signal), { rows: [stream], malformed: [] });
  },

  "a row is created once": async ({ store, signal }) => {
    const first = await created(store, signal);
    const second = { ...first, term: 9 };
    assertEquals(await store.write(create(second), signal), { kind: "conflict", row: first });
  },

  "a row that is not there is null": async ({ store, signal }) => {
    assertEquals(await store.read("shard", "shard-1", signal), null);
    assertEquals(await store.list("worker", signal), { rows: [], malformed: [] });
  },

  "each move of a lease is written when it holds and refused when it does not": async (test) => {
    const { store, signal } = test;
    const free = await created(store, signal);
    const held = await writes(test, claim(free, ANNA), {
      owner: "anna",
      holder: "anna-1",
      term: 1,
    });
    await refuses(test, claim(free, BERT));
    const asked = await writes(test, requestHandover(held, { to: "bert", id: "1" }), {
      handover: { to: "bert", id: "1" },
    });
    await refuses(test, requestHandover(held, { to: "cleo", id: "2" }));
    await refuses(test, clearHandover({ ...asked, handover: { to: "bert", id: "0" } }));
    const cleared = await writes(test, clearHandover(asked), { handover: null });
    await refuses(test, clearHandover(asked));
    const moved = await writes(test, advance(cleared, PROGRESS), PROGRESS);
    await refuses(test, advance(cleared, PROGRESS));
    const given = await writes(test, give(moved, "bert", PROGRESS), {
      owner: "bert",
      holder: null,
      term: 2,
    });
    await refuses(test, give(moved, "cleo", PROGRESS));
    const taken = await writes(test, claim(given, BERT), { holder: "bert-1", term: 3 });
    const stopped = await writes(test, release(taken, PROGRESS, { stoppedBy: "bert" }), {
      owner: null,
      holder: null,
      term: 4,
      stoppedBy: ["bert"],
    });
    await refuses(test, refuse(taken, "anna"));
    const refused = await writes(test, refuse(stopped, "anna"), { stoppedBy: ["bert", "anna"] });
    const again = await writes(test, claim(refused, ANNA), { stoppedBy: ["bert"], term: 5 });
    await refuses(test, forget(again));
    const ended = await writes(test, end(again, { checkpointAt: 1, millisBehindLatest: 0 }), {
      checkpoint: SHARD_END,
      owner: null,
    });
    assertEquals(await store.write(forget(ended), signal), { kind: "written", row: null });
    assertEquals(await store.read("shard", "shard-1", signal), null);
  },

  "null expects that a field is absent": async ({ store, signal }) => {
    const row = await created(store, signal);
    const expecting = (expect: LeaseChange["expect"]): LeaseChange => ({
      kind: "shard",
      id: row.id,
      expect,
      set: { checkpointAt: null },
    });
    for (const expect of [{ owner: null }, { handover: null }, { owner: null, holder: null }, {}]) {
      assertEquals((await store.write(expecting(expect), signal)).kind, "written");
    }
    for (
      const expect of [
        { hashKeyRange: null },
        { owner: "anna" },
        { handover: { to: "a", id: "b" } },
      ]
    ) {
      assertEquals(await store.write(expecting(expect), signal), { kind: "conflict", row });
    }
  },

  "lists are compared as a whole, in order": async ({ store, signal }) => {
    const row = await created(store, signal, { stoppedBy: ["a", "b"] });
    const expecting = (stoppedBy: readonly string[]): LeaseChange => ({
      kind: "shard",
      id: row.id,
      expect: { stoppedBy, parents: [] },
      set: {},
    });
    assertEquals(await store.write(expecting(["a", "b"]), signal), { kind: "written", row });
    for (const other of [[], ["a"], ["b", "a"], ["a", "b", "c"]]) {
      assertEquals(await store.write(expecting(other), signal), { kind: "conflict", row });
    }
  },

  "every field can be written and removed": async (test) => {
    const row = await created(test.store, test.signal);
    const full = {
      ...claimedFields,
      ...PROGRESS,
      handover: { to: "bert", id: "7" },
      stoppedBy: ["x"],
      hashKeyRange: { start: "5", end: "6" },
    };
    await writes(test, { kind: "shard", id: row.id, expect: {}, set: full }, full);
    const empty = {
      owner: null,
      holder: null,
      checkpointAt: null,
      millisBehindLatest: null,
      handover: null,
      hashKeyRange: null,
      stoppedBy: [],
    };
    await writes(test, { kind: "shard", id: row.id, expect: full, set: empty }, empty);
  },

  "a change of a row that is not there is a conflict and makes none": async ({ store, signal }) => {
    for (const expect of [{}, { owner: null }, { term: 0 }]) {
      for (const set of [{ term: 1 }, "delete"] as const) {
        const change: LeaseChange = { kind: "shard", id: "shard-1", expect, set };
        assertEquals(await store.write(change, signal), { kind: "conflict", row: null });
      }
    }
    assertEquals(await store.list("shard", signal), { rows: [], malformed: [] });
  },

  "a list shows what was written, kind by kind": async ({ store, signal }) => {
    const shards = Array.from({ length: 12 }, (_, i) => newShard(`shard-${10 + i}`));
    for (const shard of shards) await store.write(create(shard), signal);
    await store.write(create(WORKER), signal);
    const listing = await store.list("shard", signal);
    assertEquals(listing.malformed, []);
    assertEquals([...listing.rows].sort(byId), shards);
    assertEquals(await store.list("worker", signal), { rows: [WORKER], malformed: [] });
  },

  "streams in one table do not see each other": async ({ backend, store, signal }) => {
    const other = backend.store("another stream");
    const row = await created(store, signal);
    assertEquals(await other.read("shard", row.id, signal), null);
    assertEquals((await other.write(create({ ...row, term: 5 }), signal)).kind, "written");
    assertEquals(await store.list("shard", signal), { rows: [row], malformed: [] });
  },

  "of many that claim one term, one wins": async ({ store, signal }) => {
    const row = await created(store, signal);
    const results = await Promise.all(
      Array.from(
        { length: 20 },
        (_, i) => store.write(claim(row, { workerId: `w${i}`, incarnation: `w${i}` }), signal),
      ),
    );
    const winners = results.filter((result) => result.kind === "written");
    assertEquals(winners.length, 1);
    const now = await store.read("shard", row.id, signal);
    for (const { row } of results) assertEquals(row, now);
  },

  "an aborted call throws the signal's reason": async ({ store, signal }) => {
    const row = await created(store, signal);
    const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
      (signal) => store.read("shard", row.id, signal),
      (signal) => store.list("shard", signal),
      (signal) => store.write(claim(row, ANNA), signal),
      (signal) => store.prepare(signal),
    ];
    for (const call of calls) {
      const before = AbortSignal.abort(new RangeError("before"));
      await assertRejects(() => call(before), RangeError, "before");
      const controller = new AbortController();
      const pending = call(controller.signal);
      controller.abort(new RangeError("during"));
      await assertRejects(() => pending, RangeError, "during");
    }
  },

  "a malformed row is told and stops nobody else": async (
    { backend, store, streamName, signal },
  ) => {
    if (backend.putItem === undefined) return;
    const good = await created(store, signal);
    await backend.putItem(streamName, "shard/shard-2", { Term: { S: "five" } });
    await backend.putItem(streamName, "shard/shard-3", { Term: { N: "-1" } });
    await backend.putItem(streamName, "worker/zoe", {});
    const { rows, malformed } = await store.list("shard", signal);
    assertEquals(rows, [good]);
    assertEquals([...malformed].sort(byId), [
      { id: "shard-2", reason: 'Term must be a whole number from 0 on; it is {"S":"five"}' },
      { id: "shard-3", reason: 'Term must be a whole number from 0 on; it is {"N":"-1"}' },
    ]);
    assertEquals((await store.list("worker", signal)).malformed, [
      { id: "zoe", reason: "Incarnation is missing" },
    ]);
    const error = await assertRejects(() => store.read("shard", "shard-2", signal), StoreError);
    assertEquals(error.kind, "invalid");
    const conflict = create(newShard("shard-2"));
    const refused = await assertRejects(() => store.write(conflict, signal), StoreError);
    assertEquals([refused.kind, refused.maybeApplied], ["invalid", false]);
  },
};

const claimedFields = { owner: "anna", holder: "anna-1", term: 3 };

function signal(): AbortSignal {
  return new AbortController().signal;
}

function newShard(id: string, fields: Partial<ShardRow> = {}): ShardRow {
  const hashKeyRange = { start: "0", end: String(2n ** 128n - 1n) };
  return { ...newShardRow({ id, parents: [], hashKeyRange }, TRIM_HORIZON), ...fields };
}

async function created(
  store: LeaseStore,
  signal: AbortSignal,
  fields: Partial<ShardRow> = {},
): Promise<ShardRow> {
  return rowOf(await store.write(create(newShard("shard-1", fields)), signal));
}

async function writes(
  { store, signal }: Case,
  change: LeaseChange,
  expected: Partial<ShardRow>,
): Promise<ShardRow> {
  const before = await store.read("shard", change.id, signal);
  const row = rowOf(await store.write(change, signal));
  assertEquals(row, { ...before, ...change.set as Partial<ShardRow> } as ShardRow);
  assertEquals(row, { ...row, ...expected });
  assertEquals(await store.read("shard", change.id, signal), row);
  return row;
}

async function refuses({ store, signal }: Case, change: LeaseChange): Promise<void> {
  const row = await store.read("shard", change.id, signal);
  assertEquals(await store.write(change, signal), { kind: "conflict", row });
  assertEquals(await store.read("shard", change.id, signal), row);
}

function rowOf(result: WriteResult<ShardRow>): ShardRow {
  assertEquals(result.kind, "written");
  assert(result.row !== null);
  return result.row;
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}
