/**
 * Owns: which records go into one transaction.
 * Must not: send it.
 * Called by: `sink/dynamo_sink.ts`.
 *
 * @module
 */

import type { TransactionItem } from "../transaction_item.ts";
import type { KinesisRecord } from "../processor.ts";
import { TRANSACTION_ITEMS_MAX } from "../runtime/user_code.ts";

/** A record, and what it writes. */
export interface Entry {
  readonly record: KinesisRecord;
  readonly items: readonly TransactionItem[];
}

/** DynamoDB takes 4 MB, counted in its own way. */
const BYTES_MAX = 4_000_000;
/** A record without items costs nothing, but is not finished until the others are. */
const RECORDS_MAX = 1_000;
/** What UTF-8 makes of a character at most: to count them would cost more than a transaction that is cut too early. */
const BYTES_PER_CHARACTER = 3;

/** Records in their order, with as many items as a transaction takes, each another item. */
export class Pack {
  readonly #entries: Entry[] = [];
  readonly #places = new Set<string>();
  #items = 0;
  #bytes = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Adds a record, unless there is no room for it. Alone, each may go: what is wrong with it is said by who writes it. */
  add(entry: Entry): boolean {
    const { items } = entry;
    const bytes = this.#bytes + sizeOf(items);
    const places = items.flatMap((item) => placeOf(item) ?? []);
    const hasRoom = this.#entries.length < RECORDS_MAX && bytes <= BYTES_MAX &&
      this.#items + items.length <= TRANSACTION_ITEMS_MAX &&
      places.every((place) => !this.#places.has(place));
    if (!hasRoom && this.#entries.length > 0) return false;
    this.#entries.push(entry);
    this.#items += items.length;
    this.#bytes = bytes;
    for (const place of places) this.#places.add(place);
    return true;
  }
}

/** Which item is written. Of one that is put as a whole only its table knows which attributes are its key. */
function placeOf({ Update, Delete, ConditionCheck }: TransactionItem): string | undefined {
  const { TableName, Key } = Update ?? Delete ?? ConditionCheck ?? {};
  if (Key === undefined) return undefined;
  const sorted = Object.entries(Key).sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([TableName, sorted], keepBytes);
}

function keepBytes(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? [...value] : value;
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length * BYTES_PER_CHARACTER;
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== "object" || value === null) return 8;
  let size = 0;
  for (const [name, member] of Object.entries(value)) size += name.length + sizeOf(member);
  return size;
}
