/**
 * Owns: telling once what stays in the rows for a while: those that cannot be understood, and shards that everybody stopped.
 * Must not: act on it.
 * Called by: `runtime/survey.ts`.
 *
 * @module
 */

import { type ClusterView, stoppedEverywhere } from "../core/balance.ts";
import type { EventSink } from "../events.ts";
import type { RowListing } from "../ports.ts";
import type { ShardRow } from "../core/lease.ts";

/** Remembers what the last look told, and no more than that. */
export class RowNews {
  readonly #emit: EventSink;
  #malformed: ReadonlySet<string> = new Set();
  #stopped: ReadonlySet<string> = new Set();

  /** @param emit Is told the news. */
  constructor(emit: EventSink) {
    this.#emit = emit;
  }

  tellMalformed(malformed: RowListing<ShardRow>["malformed"]): void {
    const known = this.#malformed;
    this.#malformed = new Set(malformed.map(({ id }) => id));
    for (const { id, reason } of malformed) {
      if (!known.has(id)) this.#emit({ type: "row_malformed", kind: "shard", id, reason });
    }
  }

  tellStoppedEverywhere(view: ClusterView): void {
    const known = this.#stopped;
    const stopped = stoppedEverywhere(view);
    const turnOf = ({ id, term }: ShardRow): string => `${id} ${term}`;
    this.#stopped = new Set(stopped.map(turnOf));
    for (const row of stopped) {
      if (known.has(turnOf(row))) continue;
      const { id, stoppedBy } = row;
      this.#emit({ type: "shard_stopped_everywhere", shardId: id, stoppedBy });
    }
  }
}
