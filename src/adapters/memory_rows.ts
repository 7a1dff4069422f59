/**
 * Owns: rows in memory, kept as the items that DynamoDB would have, so that both compare and store alike.
 * Must not: answer later, or remember more than the rows.
 * Called by: `memory.ts`.
 *
 * @module
 */

import type { Row, RowChange, RowFields } from "../core/lease.ts";
import type { RowKinds, WriteResult } from "../ports.ts";
import { type Item, rangeKey, readRow, writeFields } from "./row_codec.ts";

/** The rows of one stream. */
export class MemoryRows {
  readonly #rows = new Map<string, { kind: Row["kind"]; id: string; item: Item }>();

  list<K extends Row["kind"]>(kind: K): readonly RowKinds[K][] {
    return [...this.#rows.values()]
      .filter((row) => row.kind === kind)
      .map(({ id, item }) => readRow(kind, id, item));
  }

  read<K extends Row["kind"]>(kind: K, id: string): RowKinds[K] | null {
    const row = this.#rows.get(rangeKey(kind, id));
    return row === undefined ? null : readRow(kind, id, row.item);
  }

  /** Whether what a change expects is so. */
  holds<R extends Row>({ kind, id, expect }: RowChange<R>): boolean {
    return holds<R>(kind, expect, this.#rows.get(rangeKey(kind, id))?.item);
  }

  write<R extends Row>(change: RowChange<R>): WriteResult<R> {
    const { kind, id, set } = change as RowChange<R> & { readonly kind: R["kind"] };
    const key = rangeKey(kind, id);
    if (!this.holds(change)) {
      return { kind: "conflict", row: this.read(kind, id) as unknown as R | null };
    }
    if (set === "delete") this.#rows.delete(key);
    else {
      const item = this.#rows.get(key)?.item;
      this.#rows.set(key, { kind, id, item: changed<R>(kind, set, item) });
    }
    return { kind: "written", row: this.read(kind, id) as unknown as R | null };
  }
}

function holds<R extends Row>(
  kind: R["kind"],
  expect: RowFields<R> | "no row",
  item: Item | undefined,
): boolean {
  if (expect === "no row") return item === undefined;
  if (item === undefined) return false;
  return Object.entries(writeFields<R>(kind, expect)).every(([name, value]) =>
    JSON.stringify(item[name] ?? null) === JSON.stringify(value)
  );
}

function changed<R extends Row>(
  kind: R["kind"],
  set: RowFields<R>,
  item: Item | undefined,
): Item {
  const attributes = Object.entries({ ...item, ...writeFields<R>(kind, set) });
  return Object.fromEntries(attributes.filter(([, value]) => value !== null)) as Item;
}
