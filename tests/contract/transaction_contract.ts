// Owns: what every LeaseStore with transactions must do, as one suite.
// Must not: know an implementation.
// Called by: lease_store_contract_test.ts.
import type { TransactionItem } from "../../src/transaction_item.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { advance, claim, create, newShardRow, type ShardRow } from "../../src/core/lease.ts";
import { StoreError } from "../../src/errors.ts";
import type { LeaseStore, TransactionResult } from "../../src/ports.ts";
import type { LeaseStoreBackend } from "./lease_store_contract.ts";

/** The table of the user's items in a backend. */
export interface SinkTable {
  /** How often the item was written; 0 if it was not. */
  count(id: string): Promise<number>;
}

export const SINK_TABLE = "sink";

/** Counts how often it is written. */
function counting(id: string): TransactionItem {
  return {
    Update: {
      TableName: SINK_TABLE,
      Key: { id: { S: id } },
      UpdateExpression: "ADD #count :one",
      ExpressionAttributeNames: { "#count": "count" },
      ExpressionAttributeValues: { ":one": { N: "1" } },
    },
  };
}

/** Is refused if the item is there. */
function once(id: string): TransactionItem {
  return {
    Put: {
      TableName: SINK_TABLE,
      Item: { id: { S: id }, count: { N: "1" } },
      ConditionExpression: "attribute_not_exists(id)",
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    },
  };
}

/** The id of an item that {@linkcode counting} or {@linkcode once} writes. */
export function idOf({ Update, Put }: TransactionItem): string {
  return Update?.Key?.id?.S ?? Put?.Item?.id?.S ?? "";
}

const ANNA = { workerId: "anna", incarnation: "anna-1" };

interface Case {
  readonly store: LeaseStore;
  readonly sink: SinkTable;
  readonly row: ShardRow;
  readonly signal: AbortSignal;
  /** A name that no other case has. */
  readonly id: (name: string) => string;
  readonly send: (row: ShardRow, items: readonly TransactionItem[], token: string) => Promise<
    TransactionResult
  >;
  /** The row as it stands. */
  readonly now: () => Promise<ShardRow | null>;
}

/** Runs the suite on one implementation. */
export function testTransactions(name: string, start: () => Promise<LeaseStoreBackend>, options: {
  readonly ignore?: boolean;
} = {}): void {
  Deno.test({
    name: `transactions of a lease store: ${name}`,
    ignore: options.ignore ?? false,
    fn: async (t) => {
      await using backend = await start();
      const { sink } = backend;
      assert(sink !== undefined, "the backend has a table for items");
      const { signal } = new AbortController();
      await backend.store("any").prepare(signal);
      let cases = 0;
      for (const [title, run] of Object.entries(CASES)) {
        const number = cases++;
        const store = backend.store(`transactions-${number}`);
        const fresh = newShardRow({ id: "shard-1", parents: [], hashKeyRange: null }, TRIM_HORIZON);
        await store.write(create(fresh), signal);
        const { row } = await store.write(claim(fresh, ANNA), signal);
        assert(row !== null);
        const id = (name: string): string => `${number}-${name}`;
        const send: Case["send"] = (row, items, token) => {
          assert(store.transact !== undefined, "the store has transactions");
          return store.transact(advance(row, to("10")), { items, token: id(token) }, signal);
        };
        const now = (): Promise<ShardRow | null> => store.read("shard", "shard-1", signal);
        await t.step(title, () => run({ store, sink, row, signal, id, send, now }));
      }
    },
  });
}

const CASES: Record<string, (test: Case) => Promise<void>> = {
  "the checkpoint and the items are written together": async ({ sink, row, id, send, now }) => {
    const items = [counting(id("a")), once(id("b"))];
    assertEquals(await send(row, items, "1"), { kind: "written" });
    assertEquals(await now(), { ...row, ...to("10") });
    assertEquals([await sink.count(id("a")), await sink.count(id("b"))], [1, 1]);
  },

  "nothing is written if the row is not as expected": async ({ sink, row, id, send, now }) => {
    const result = await send({ ...row, term: 9 }, [counting(id("a"))], "1");
    assertEquals(result, { kind: "conflict", row });
    assertEquals(await now(), row);
    assertEquals(await sink.count(id("a")), 0);
  },

  "nothing is written if an item is refused, and it is told which": async (test) => {
    const { sink, row, id, send, now } = test;
    await send(row, [once(id("taken"))], "1");
    const before = await now();
    assert(before !== null);
    const result = await send(before, [counting(id("a")), once(id("taken"))], "2");
    assert(result.kind === "refused", result.kind);
    assertEquals(result.refused.map(({ index, code }) => ({ index, code })), [
      { index: 1, code: "ConditionalCheckFailed" },
    ]);
    assertEquals(result.refused[0]?.item?.count, { N: "1" });
    assertEquals(await now(), before);
    assertEquals(await sink.count(id("a")), 0);
  },

  "a row that is not as expected says more than an item that is refused": async (test) => {
    const { row, id, send, now } = test;
    await send(row, [once(id("taken"))], "1");
    assertEquals(await send(row, [once(id("taken"))], "2"), { kind: "conflict", row: await now() });
  },

  "the same again under the same token is not done again": async (test) => {
    const { sink, row, id, send, now } = test;
    const items = [counting(id("a"))];
    await send(row, items, "1");
    const after = await now();
    assertEquals(await send(row, items, "1"), { kind: "written" });
    assertEquals([await now(), await sink.count(id("a"))], [after, 1]);
  },

  "of many with one expectation, one is written": async ({ sink, row, id, send }) => {
    const sent = Array.from({ length: 8 }, (_, i) => send(row, [counting(id("a"))], String(i)));
    const results = await Promise.allSettled(sent);
    const kinds = results.map((result) =>
      // DynamoDB may refuse what meets another transaction, to be sent again.
      result.status === "rejected" && result.reason instanceof StoreError
        ? result.reason.kind
        : result.status === "fulfilled"
        ? result.value.kind
        : String(result.reason)
    );
    assertEquals(kinds.filter((kind) => kind === "written").length, 1, kinds.join());
    assert(kinds.every((kind) => ["written", "conflict", "unavailable"].includes(kind)));
    assertEquals(await sink.count(id("a")), 1);
  },

  "an aborted call throws the signal's reason": async ({ store, row, id }) => {
    const signal = AbortSignal.abort(new RangeError("before"));
    const transaction = { items: [counting(id("a"))], token: id("1") };
    const send = () => store.transact?.(advance(row, to("10")), transaction, signal);
    await assertRejects(async () => await send(), RangeError, "before");
  },
};

function to(sequenceNumber: string) {
  const checkpoint: Checkpoint = { kind: "sequence", sequenceNumber };
  return { checkpoint, checkpointAt: 1_700_000_000_123, millisBehindLatest: 42 };
}
