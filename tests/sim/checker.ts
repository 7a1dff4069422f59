/**
 * Owns: what a checker is, and what it is told.
 * Must not: check anything.
 * Called by: the checkers, `simulation.ts`.
 *
 * @module
 */

import type { ResolvedConfig } from "../../src/core/config.ts";
import type { Row } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Coverage } from "./coverage.ts";
import type { Scenario } from "./scenario.ts";
import type { SimProcess } from "./sim_process.ts";
import type { SimRecord, SimStream } from "./sim_stream.ts";
import type { SimTable, TableWrite } from "./sim_table.ts";
import type { WindowClosed } from "./sim_windows.ts";
import type { World } from "./world.ts";

/** A time that never comes. */
export const neverMs: number = Infinity;

/** Records that are handed to a user's processor. */
export interface Delivery {
  readonly process: SimProcess;
  readonly shardId: string;
  readonly term: number;
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly records: readonly SimRecord[];
  /** Those that the processor says have failed, when it does not throw. */
  failed: ReadonlySet<SimRecord>;
  /** Whether it is asked what they write, which is done later, and together with what comes after them. */
  readonly isAsked?: boolean;
  /** Whether it was not the processor that failed: what it was to write was left to the next owner. */
  isBlameless?: boolean;
}

/** How an attempt to process went; `in vain` if its result does not count any more. */
export type Outcome = "finished" | "threw" | "in vain";

/** The truth. */
export interface Truth {
  readonly world: World;
  readonly scenario: Scenario;
  readonly config: ResolvedConfig;
  readonly table: SimTable;
  readonly stream: SimStream;
  /** What went wrong, and how often. */
  readonly coverage: Coverage;
  /** The positions of the records that are in the failure destination: sequence number, colon, sub-sequence number. */
  readonly putAside: Set<string>;
  /** Every process that ever was, by name. */
  readonly processes: ReadonlyMap<string, SimProcess>;
}

/** Whether a record may be finished before one that comes before it. */
export function isOutOfOrder({ config, scenario }: Truth): boolean {
  return config.concurrency > 1 || scenario.processor.partial > 0;
}

/** Something that always holds. It calls `world.fail` when it does not. */
export interface Checker {
  onWrite?(write: TableWrite): void;
  onFact?(process: SimProcess, fact: AppFact): void;
  onDelivery?(delivery: Delivery): void;
  onReturn?(delivery: Delivery, outcome: Outcome): void;
  /** A process is gone, without a word. */
  onCrash?(process: SimProcess): void;
  onStop?(process: SimProcess): void;
  onStopped?(process: SimProcess): void;
  /** The stream is asked for records; a moment later the process has a batch. */
  onGetRecords?(process: SimProcess, shardId: string): void;
  onBatch?(process: SimProcess, shardId: string, records: number): void;
  /** A reader of a shard begins; it ends. */
  onOpen?(process: SimProcess, shardId: string): void;
  onClose?(process: SimProcess, shardId: string): void;
  /** A window is closed. */
  onWindow?(process: SimProcess, closed: WindowClosed): void;
  /** The table is asked for the rows of a kind, or for one of them. */
  onTableRead?(process: SimProcess, kind: Row["kind"], isList: boolean): void;
  /** No faults from now on. */
  onHealed?(): void;
  /** Everything is settled, and nothing happens for a while; then that is over. */
  onCalm?(): void;
  onCalmOver?(): void;
  onEnd?(): void;
}
