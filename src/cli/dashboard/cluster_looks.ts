/**
 * Owns: when the state table is looked at while a page is open, and how much of it.
 * Must not: know the pages, or who looks at them.
 * Called by: `dashboard.ts`.
 *
 * To read every row of a large cluster each second would cost more than the cluster itself. But who moves a shard tells a worker
 * in its row, to get its attention; and the rows of the workers are few. So they are what is read each second, the rows of the
 * shards when there is a reason or their time has come, and a shard that is on its way alone.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import type { ShardRow, WorkerRow } from "../../core/lease.ts";
import { type ClusterStatus, clusterStatus } from "../../core/status.ts";
import { messageOf } from "../../errors.ts";
import type { ClusterControl } from "../../runtime/cluster_control.ts";
import type { ClusterView } from "./cluster_view.ts";
import type { Look } from "./protocol.ts";

/** Whose dashboard it is. */
export interface DashboardWorker {
  readonly workerId: string;
  /** Reads the state table. */
  status(): Promise<ClusterStatus>;
}

/** What reads single rows. */
export type RowReader = Pick<ClusterControl, "workers" | "shard"> & AsyncDisposable;

/** What is looked at, and who is told. */
export interface ClusterLooksOptions {
  readonly view: ClusterView;
  readonly worker: () => DashboardWorker | undefined;
  readonly reader: () => Promise<RowReader>;
  /** A clock that only goes forward, in milliseconds. */
  readonly nowMs: () => number;
  /** Is told how the last look went. */
  readonly onLook: (look: Look) => void;
}

/** Nor is there a reason to look again sooner than this, be it an order. */
const LOOK_MS_MIN = 1_000;
const LOOK_MS_MAX = 30_000;
/** A row takes about half a kilobyte and the read is consistent: at this pace the looks take about 5 read units a second. */
const LOOK_MS_PER_ROW = 25;
/** The row of a worker is half as long. */
const GLANCE_MS_PER_WORKER = 12;
/** A cluster whose every row is read at least this often needs no glances. */
const SEEN_SOON_MS = 2_000;
/** Looks before their time, at once; the next one is earned by as much time as there is between two looks. */
const EXTRA_LOOKS_MAX = 3;
/** Each is a read unit a second. */
const FOLLOWED_MAX = 10;

/** Before the first look. */
export const NO_LOOK: Look = { at: null, movesAt: null, everyMs: LOOK_MS_MIN, error: null };

/** Looks at the state table while it is told to. */
export class ClusterLooks {
  readonly #options: ClusterLooksOptions;
  #look: Look = NO_LOOK;
  /** When every row is to be read next, on the clock that only goes forward. */
  #wholeAt = -Infinity;
  #extraLooks = EXTRA_LOOKS_MAX;
  #earnedAt = -Infinity;
  #isWanted = false;
  /** What the rows of the workers said at the last glance; undefined before the first one. */
  #said: ReadonlyMap<string, Said> | undefined;
  #followed = 0;
  #soon: AbortController = new AbortController();

  constructor(options: ClusterLooksOptions) {
    this.#options = options;
  }

  /** An order was given: what comes of it is to be seen at once. */
  soon(): void {
    this.#wholeAt = -Infinity;
    this.#soon.abort();
  }

  /** Never throws: what fails is told. */
  async keepLooking(signal: AbortSignal): Promise<void> {
    const { nowMs, onLook } = this.#options;
    await using reader = new LazyReader(this.#options.reader);
    this.#said = undefined;
    this.#wholeAt = -Infinity;
    while (!signal.aborted) {
      this.#soon = new AbortController();
      const beganAt = nowMs();
      try {
        const look = await this.#lookOnce(beganAt, reader, signal);
        if (look === undefined) return;
        this.#look = look;
      } catch (error) {
        if (signal.aborted) return;
        // What was missed meanwhile is not known: the next look is a whole one.
        this.#wholeAt = -Infinity;
        this.#look = { ...this.#look, error: messageOf(error).slice(0, 500) };
      }
      onLook(this.#look);
      await pause(LOOK_MS_MIN - (nowMs() - beganAt), signal);
      const soon = AbortSignal.any([signal, this.#soon.signal]);
      await pause(this.#tickMs() - (nowMs() - beganAt), soon);
    }
  }

  /** Undefined if nobody wants to know any more. */
  async #lookOnce(
    now: number,
    reader: LazyReader,
    signal: AbortSignal,
  ): Promise<Look | undefined> {
    if (now >= this.#wholeAt) return await this.#lookAtAll(now, signal);
    const rows = await reader.get();
    const workers = await rows.workers();
    if (signal.aborted) return undefined;
    this.#listen(workers);
    if (this.#isWanted && this.#takeExtra(now)) return await this.#lookAtAll(now, signal);
    await this.#followMoves(rows, workers);
    return signal.aborted ? undefined : { ...this.#look, movesAt: Date.now(), error: null };
  }

  async #lookAtAll(now: number, signal: AbortSignal): Promise<Look | undefined> {
    const { worker, view } = this.#options;
    this.#isWanted = false;
    const status = await worker()?.status();
    if (status === undefined || signal.aborted) return undefined;
    view.look(status);
    const rows = status.shards.length + status.workers.length;
    const everyMs = Math.min(Math.max(rows * LOOK_MS_PER_ROW, LOOK_MS_MIN), LOOK_MS_MAX);
    this.#wholeAt = now + everyMs;
    const at = Date.now();
    return { at, movesAt: at, everyMs, error: null };
  }

  /** Notes whether the rows of the workers tell of a move that is not known. */
  #listen(workers: readonly WorkerRow[]): void {
    const { view } = this.#options;
    view.beat(workers);
    const before = this.#said;
    const said = new Map(workers.map((row) => [row.id, saidBy(row)]));
    this.#said = said;
    // What moved between the first look and the first glance was told to nobody.
    const isNews = before === undefined || before.size !== said.size ||
      [...said].some(([id, { calls, shards }]) => {
        const known = before.get(id);
        // How many it has it writes with its heartbeat, which may be long after the move.
        return known?.calls !== calls || (known.shards !== shards && view.held(id) !== shards);
      });
    this.#isWanted ||= isNews;
  }

  #takeExtra(now: number): boolean {
    const earned = (now - this.#earnedAt) / this.#look.everyMs;
    this.#extraLooks = Math.min(EXTRA_LOOKS_MAX, this.#extraLooks + earned);
    this.#earnedAt = now;
    if (this.#extraLooks < 1) return false;
    this.#extraLooks -= 1;
    return true;
  }

  /** Reads the rows of some shards that are on their way, in turns. */
  async #followMoves(reader: RowReader, workers: readonly WorkerRow[]): Promise<void> {
    const { view } = this.#options;
    const moving = view.moving();
    const first = moving.length <= FOLLOWED_MAX ? 0 : this.#followed % moving.length;
    const followed = [...moving.slice(first), ...moving.slice(0, first)].slice(0, FOLLOWED_MAX);
    this.#followed = first + followed.length;
    const rows = await Promise.all(followed.map((shardId) => shardOf(reader, shardId)));
    for (const row of rows) {
      const [status] = row === undefined
        ? []
        : clusterStatus(workers, [row], ({ id }) => view.isAlive(id)).shards;
      if (status === undefined) this.#isWanted = true;
      else view.lookAt(status);
    }
  }

  #tickMs(): number {
    const { everyMs, error } = this.#look;
    if (error !== null || everyMs <= SEEN_SOON_MS) return everyMs;
    return Math.max(LOOK_MS_MIN, this.#options.view.workers.length * GLANCE_MS_PER_WORKER);
  }
}

/** What the row of a worker says of moves. */
interface Said {
  /** Changes when somebody wants it to look at the rows, when it begins to stop, and when another process has its name. */
  readonly calls: string;
  readonly shards: number;
}

function saidBy({ incarnation, attention, isDraining, shards }: WorkerRow): Said {
  return { calls: JSON.stringify([incarnation, attention, isDraining]), shards };
}

/** Undefined if there is no such row any more. */
async function shardOf(reader: RowReader, shardId: string): Promise<ShardRow | undefined> {
  try {
    return await reader.shard(shardId);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A reader that is opened when it is needed: small clusters need none. */
class LazyReader implements AsyncDisposable {
  readonly #open: () => Promise<RowReader>;
  #reader: RowReader | undefined;

  constructor(open: () => Promise<RowReader>) {
    this.#open = open;
  }

  async get(): Promise<RowReader> {
    return this.#reader ??= await this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader?.[Symbol.asyncDispose]();
  }
}

/** Waits; an abort ends it. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  try {
    await delay(ms, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
