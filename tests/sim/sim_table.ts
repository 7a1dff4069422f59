/**
 * Owns: the one state table that all simulated processes share.
 * Must not: lose or delay anything; that is `sim_network.ts`.
 * Called by: `sim_ports.ts` for the processes, the checkers for the truth.
 *
 * @module
 */

import type { Row, RowChange, ShardRow } from "../../src/core/lease.ts";
import type { RefusedItem } from "../../src/errors.ts";
import type { RowKinds, Transaction, TransactionResult, WriteResult } from "../../src/ports.ts";

/** A change that the table was asked for, and what became of it. */
export interface TableWrite {
  /** The process that sent it. */
  readonly by: string;
  readonly change: RowChange<Row>;
  readonly isAccepted: boolean;
  readonly before: Row | null;
  readonly after: Row | null;
}

/** The tables of the user, in the same DynamoDB. */
export interface SimSink {
  refused(items: Transaction["items"]): readonly RefusedItem[];
  write(items: Transaction["items"], by: string): void;
}

const NO_SINK: SimSink = { refused: () => [], write: () => {} };

/** Rows with a compare-and-set, as DynamoDB would do it. */
export class SimTable {
  readonly #rows = new Map<string, Row>();
  /** The rows of a kind in the order of their ids, as last listed. Whoever has a list keeps it as it was. */
  readonly #listed = new Map<Row["kind"], Listed>();
  readonly #onWrite: (write: TableWrite) => void;
  readonly #sink: SimSink;
  readonly #tokens = new Set<string>();

  /**
   * @param onWrite Is told every change that arrives, when it arrives.
   * @param sink Where items go.
   */
  constructor(onWrite: (write: TableWrite) => void, sink: SimSink = NO_SINK) {
    this.#onWrite = onWrite;
    this.#sink = sink;
  }

  /** Makes a change if what it expects holds. */
  write<R extends Row>(change: RowChange<R>, by: string): WriteResult<R> {
    const key = `${change.kind}/${change.id}`;
    const before = this.#rows.get(key) ?? null;
    const isAccepted = holds(change as unknown as RowChange<Row>, before);
    let after = before;
    if (isAccepted) {
      if (change.set === "delete") {
        this.#rows.delete(key);
        after = null;
        this.#listed.delete(change.kind);
      } else {
        after = Object.freeze({
          ...before,
          kind: change.kind,
          id: change.id,
          ...change.set,
        } as unknown as Row);
        this.#rows.set(key, after);
        this.#relist(after, before === null);
      }
    }
    this.#onWrite({ by, change: change as unknown as RowChange<Row>, isAccepted, before, after });
    return { kind: isAccepted ? "written" : "conflict", row: after as R | null };
  }

  /** Makes a change if what it expects holds, and writes items with it, unless one is refused; under one token once. */
  transact(change: RowChange<Row>, { items, token }: Transaction, by: string): TransactionResult {
    if (this.#tokens.has(token)) return { kind: "written" };
    const before = this.#rows.get(`${change.kind}/${change.id}`) ?? null;
    const refused = holds(change, before) ? this.#sink.refused(items) : [];
    if (refused.length > 0) return { kind: "refused", refused };
    if (holds(change, before)) {
      this.#tokens.add(token);
      // Whoever looks at the row finds the items there.
      this.#sink.write(items, by);
    }
    const { kind, row } = this.write(change, by);
    return kind === "conflict" ? { kind, row: row as ShardRow | null } : { kind };
  }

  read<K extends Row["kind"]>(kind: K, id: string): RowKinds[K] | null {
    return (this.#rows.get(`${kind}/${id}`) ?? null) as RowKinds[K] | null;
  }

  /** The rows of a kind, in the order of the keys. Nobody may change the list: it is given to everyone. */
  list<K extends Row["kind"]>(kind: K): readonly RowKinds[K][] {
    let listed = this.#listed.get(kind);
    if (listed === undefined) {
      const rows = [...this.#rows.values()].filter((row) => row.kind === kind)
        .sort((a, b) => a.id < b.id ? -1 : 1);
      listed = { rows, places: new Map(rows.map((row, place) => [row.id, place])), isOut: false };
      this.#listed.set(kind, listed);
    }
    listed.isOut = true;
    return listed.rows as readonly unknown[] as readonly RowKinds[K][];
  }

  /** The ids of the rows of a kind, in the order of the keys. */
  ids(kind: Row["kind"]): readonly string[] {
    return this.list(kind).map((row) => row.id);
  }

  /** The rows of all shards, as they are now. */
  shards(): readonly ShardRow[] {
    return this.list("shard");
  }

  /** Brings the list up to date: one that was given out is copied first, since with many rows a new one is dear. */
  #relist(row: Row, isNew: boolean): void {
    const listed = this.#listed.get(row.kind);
    if (listed === undefined) return;
    if (isNew) {
      this.#listed.delete(row.kind);
      return;
    }
    if (listed.isOut) listed.rows = listed.rows.slice();
    listed.isOut = false;
    const place = listed.places.get(row.id);
    if (place !== undefined) listed.rows[place] = row;
  }
}

interface Listed {
  rows: Row[];
  readonly places: ReadonlyMap<string, number>;
  /** Whether somebody has `rows`. */
  isOut: boolean;
}

function holds({ expect }: RowChange<Row>, before: Row | null): boolean {
  if (expect === "no row") return before === null;
  if (before === null) return false;
  return Object.entries(expect).every(([name, value]) =>
    isSame(value, (before as unknown as Record<string, unknown>)[name])
  );
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || canonical(a) === canonical(b);
}

/** A text that is the same for the same value, whatever the order of its members. */
function canonical(value: unknown): string {
  if (value === undefined || value === null) return "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => a < b ? -1 : 1);
  return `{${members.map(([name, member]) => `${name}:${canonical(member)}`).join()}}`;
}
