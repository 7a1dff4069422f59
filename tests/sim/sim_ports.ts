/**
 * Owns: the way of one simulated process to the shared table and stream.
 * Must not: decide what goes wrong; that is `sim_network.ts` and `scenario.ts`.
 * Called by: `sim_process.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { READ_INTERVAL_MS } from "../../src/adapters/pacing.ts";
import type { ResolvedConfig } from "../../src/core/config.ts";
import type { LeaseChange, Row, RowChange } from "../../src/core/lease.ts";
import { SourceError, StoreError } from "../../src/errors.ts";
import type {
  Batch,
  Clock,
  LeaseStore,
  ReadBudget,
  RowKinds,
  RowListing,
  ShardInfo,
  StreamSource,
  Transaction,
  TransactionResult,
  WriteResult,
} from "../../src/ports.ts";
import { EPOCH_MS, type PortHost } from "./sim_clock.ts";
import { type Call, CallFailure, type SimNetwork } from "./sim_network.ts";
import { partsOf, readFrom, readingPlaceAfter, type SimStream } from "./sim_stream.ts";
import type { SimTable } from "./sim_table.ts";
import type { Prng, World } from "./world.ts";

/** Sees what passes the ports of a process. */
export interface PortObserver {
  /** Something went wrong. */
  onFault(what: string): void;
  /** The stream is asked for records; a moment later the process has a batch. */
  onGetRecords(shardId: string): void;
  onBatch(shardId: string, records: number): void;
  /** A reader of a shard begins; it ends. */
  onOpen(shardId: string): void;
  onClose(shardId: string): void;
  /** The table is asked for the rows of a kind, or for one of them. */
  onTableRead(kind: Row["kind"], isList: boolean): void;
}

/** Sees nothing. */
export const UNOBSERVED: PortObserver = {
  onFault: () => {},
  onGetRecords: () => {},
  onBatch: () => {},
  onOpen: () => {},
  onClose: () => {},
  onTableRead: () => {},
};

/** What the ports of a process stand on. */
export interface PortOptions {
  readonly world: World;
  readonly host: PortHost;
  readonly clock: Clock;
  readonly random: Prng;
  readonly config: ResolvedConfig;
  readonly network: SimNetwork;
  readonly observer: PortObserver;
}

const READ_RETRY_MS = 100;
/** How often a table that is being created is looked at before its creator gives up. */
const PREPARE_LOOKS_MAX = 20;
const PREPARE_LOOK_MS = 1_000;

/** The shared table, far away. */
export class SimLeaseStore implements LeaseStore {
  readonly #options: PortOptions;
  readonly #table: SimTable;
  readonly #isTorn: () => boolean;
  /** When the table can be used, in virtual time. */
  readonly #readyAt: number;
  /** The row at which the lists of a directed case are torn. */
  tornAt: string | undefined;

  constructor(
    options: PortOptions,
    table: SimTable,
    habits: { readonly isTorn: () => boolean; readonly readyAt: number },
  ) {
    this.#options = options;
    this.#table = table;
    this.#isTorn = habits.isTorn;
    this.#readyAt = habits.readyAt;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const { clock, world, observer } = this.#options;
    const serve = (): boolean => world.now >= this.#readyAt;
    for (let looks = 0; looks < PREPARE_LOOKS_MAX; looks++) {
      if (await this.#read({ task: "prepare the table", signal, serve })) {
        return;
      }
      observer.onFault("table is being created");
      await clock.sleep(PREPARE_LOOK_MS, signal);
    }
    observer.onFault("table was not ready in time");
    throw new StoreError("Cannot prepare the table: it is still being created", {
      kind: "unavailable",
    });
  }

  async list<K extends Row["kind"]>(
    kind: K,
    signal: AbortSignal,
  ): Promise<RowListing<RowKinds[K]>> {
    const table = this.#table;
    const { observer } = this.#options;
    const pick = (ids: readonly string[]): RowKinds[K][] =>
      ids.flatMap((id) => table.read(kind, id) ?? []);
    const task = `list ${kind} rows`;
    if (this.tornAt === undefined && !this.#isTorn()) {
      const serve = this.#serve(() => {
        observer.onTableRead(kind, true);
        return table.list(kind);
      });
      return { rows: await this.#read({ task, signal, serve }), malformed: [] };
    }
    // A query of DynamoDB is no snapshot: later rows are read later.
    const { random } = this.#options;
    const share = random.next();
    // Rows of the youngest shards may come into being behind the place that was read so far, or before it.
    const isAtEnd = random.chance(0.5);
    let until = "";
    const rows = await this.#read<readonly RowKinds[K][]>({
      task,
      signal,
      serve: this.#serve(() => {
        observer.onTableRead(kind, true);
        const ids = table.ids(kind);
        until = this.tornAt ??
          (isAtEnd
            ? laterId(ids.at(-1) ?? "", random.whole(1, 5))
            : ids[Math.floor(ids.length * share)] ?? "");
        return pick(ids.filter((id) => id < until));
      }),
      finish: (first) => [...first, ...pick(table.ids(kind).filter((id) => id >= until))],
    });
    return { rows, malformed: [] };
  }

  async read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null> {
    const serve = this.#serve(() => {
      this.#options.observer.onTableRead(kind, false);
      return this.#table.read(kind, id);
    });
    return await this.#read({ task: `read ${kind} ${id}`, signal, serve });
  }

  async write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>> {
    const { host, network } = this.#options;
    const task = `write ${change.kind} ${change.id}`;
    const serve = this.#serve(() => this.#table.write(change, host.name));
    try {
      return await network.call({
        host,
        signal,
        task,
        isWrite: true,
        change: change as unknown as RowChange<Row>,
        serve,
      });
    } catch (error) {
      throw toStoreError(error, task);
    }
  }

  async transact(
    change: LeaseChange,
    transaction: Transaction,
    signal: AbortSignal,
  ): Promise<TransactionResult> {
    const { host, network } = this.#options;
    const task = `transact ${change.kind} ${change.id}`;
    const request = change as unknown as RowChange<Row>;
    const serve = this.#serve(() => this.#table.transact(request, transaction, host.name));
    try {
      return await network.call({ host, signal, task, isWrite: true, change: request, serve });
    } catch (error) {
      throw toStoreError(error, task);
    }
  }

  /** What the table does, which must be there by then. */
  #serve<T>(work: () => T): () => T {
    const { world } = this.#options;
    return () => {
      if (world.now < this.#readyAt) world.fail("table", "it was used before it was ready");
      return work();
    };
  }

  async #read<T>(call: Pick<Call<T>, "task" | "signal" | "serve" | "finish">): Promise<T> {
    const { host, network, clock, config } = this.#options;
    for (let failures = 0;;) {
      try {
        return await network.call({ ...call, host, isWrite: false });
      } catch (error) {
        failures += 1;
        if (!(error instanceof CallFailure) || failures > config.maxDynamoDBRetries) {
          throw toStoreError(error, call.task);
        }
        await clock.sleep(READ_RETRY_MS * 2 ** failures, call.signal);
      }
    }
  }
}

/** The id that is so many numbers after another one. */
function laterId(id: string, by: number): string {
  return id.replace(/\d+$/, (digits) => String(Number(digits) + by).padStart(digits.length, "0"));
}

function toStoreError(error: unknown, task: string): unknown {
  if (!(error instanceof CallFailure)) return error;
  const { kind, maybeApplied, message } = error;
  return new StoreError(`Cannot ${task}: ${message}`, { kind, maybeApplied });
}

/** How the stream behaves. */
export interface StreamHabits {
  /** How old a list of shards is, in milliseconds. */
  readonly staleMs: () => number;
  /** Whether the end of a shard names its children. */
  readonly hasChildren: boolean;
  /** How long an iterator may be used, in milliseconds. */
  readonly iteratorMs: number;
}

/** How often a reader asks whether a time has come. */
export const FUTURE_WAIT_MS = 2_000;

/** The shared stream, far away. */
export class SimStreamSource implements StreamSource {
  readonly #options: PortOptions;
  readonly #stream: SimStream;
  readonly #habits: StreamHabits;
  /** Readers that are open. */
  openReaders = 0;

  constructor(options: PortOptions, stream: SimStream, habits: StreamHabits) {
    this.#options = options;
    this.#stream = stream;
    this.#habits = habits;
  }

  async listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    const { world } = this.#options;
    const serve = (): readonly ShardInfo[] =>
      this.#stream.listedAt(world.now - this.#habits.staleMs());
    return await this.#call({ task: "list shards", signal, serve });
  }

  async *open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncGenerator<Batch> {
    signal.throwIfAborted();
    const { clock, config, world, observer } = this.#options;
    if (after.kind === "shardEnd") {
      yield { records: [], millisBehindLatest: 0, end: { children: [] } };
      return;
    }
    const shard = this.#stream.shard(shardId);
    if (shard === undefined || shard.isGone) throw missing(shardId);
    let position = after;
    observer.onOpen(shardId);
    this.openReaders += 1;
    try {
      // Kinesis gives no iterator for a time in its future: the reader waits until it has come.
      while (after.kind === "timestamp" && after.timestamp > EPOCH_MS + world.now) {
        await clock.sleep(FUTURE_WAIT_MS, signal);
      }
      let iterator = { place: readingPlaceAfter(shard, after), issuedAt: world.now };
      for (let nextReadAt = clock.monotonic();;) {
        const wait = nextReadAt - clock.monotonic();
        if (wait > 0) await clock.sleep(wait, signal);
        const recordsMax = await this.#room(signal, budget);
        const startedAt = clock.monotonic();
        const read = await this.#call({
          task: `read ${shardId}`,
          signal,
          serve: () => {
            observer.onGetRecords(shardId);
            if (world.now - iterator.issuedAt > this.#habits.iteratorMs) return "expired";
            return readFrom(shard, iterator.place, {
              recordsMax,
              stampOfNow: EPOCH_MS + world.now,
            });
          },
        });
        if (read === null) throw missing(shardId);
        if (read === "expired") {
          observer.onFault("iterator expired");
          const task = `read ${shardId} from a new iterator`;
          await this.#call({ task, signal, serve: () => {} });
          iterator = { place: readingPlaceAfter(shard, position), issuedAt: world.now };
          nextReadAt = startedAt + READ_INTERVAL_MS;
          continue;
        }
        const { batch } = read;
        iterator = { place: read.next, issuedAt: world.now };
        const last = batch.records.at(-1);
        if (last !== undefined) {
          position = { kind: "sequence", sequenceNumber: last.sequenceNumber };
        }
        observer.onBatch(shardId, batch.records.length);
        const isAtTip = batch.records.length === 0;
        nextReadAt = startedAt + (isAtTip ? config.emptyReceiveDelay : READ_INTERVAL_MS);
        const hidesChildren = batch.end !== undefined && !this.#habits.hasChildren;
        const told = hidesChildren ? { ...batch, end: { children: [] } } : batch;
        // Not by chance, which the rest of the seed depends on.
        const size = budget?.mayComeInParts ? 1 + read.next % 3 : Infinity;
        const isInParts = size < told.records.length;
        if (isInParts) budget?.keep(told.records.length * this.#stream.heldBytesMax);
        for (const { part, left } of partsOf(told, size)) {
          if (isInParts) await budget?.turn(signal);
          budget?.keep(left * this.#stream.heldBytesMax);
          yield releasable(part);
        }
        if (batch.end !== undefined) return;
      }
    } finally {
      this.openReaders -= 1;
      observer.onClose(shardId);
    }
  }

  /** Waits until there is room; gives for how many records. */
  async #room(signal: AbortSignal, budget: ReadBudget | undefined): Promise<number> {
    const { maxBatchSize } = this.#options.config;
    const least = this.#stream.heldBytesMax;
    const wanted = maxBatchSize * least;
    const room = await budget?.take(wanted, { least, signal }) ?? wanted;
    return Math.floor(room / least);
  }

  async #call<T>(
    call: Pick<Call<T>, "task" | "signal" | "serve">,
  ): Promise<T> {
    const { host, network, clock, config } = this.#options;
    for (let failures = 0;;) {
      try {
        return await network.call({ ...call, host, isWrite: false });
      } catch (error) {
        if (!(error instanceof CallFailure)) throw error;
        failures += 1;
        if (failures > config.maxKinesisRetries) {
          throw new SourceError(`Cannot ${call.task}: ${error.message}`, { kind: error.kind });
        }
        await clock.sleep(READ_INTERVAL_MS * 2 ** failures, call.signal);
      }
    }
  }
}

function missing(shardId: string): SourceError {
  return new SourceError(`Cannot read shard "${shardId}": there is none`, { kind: "missing" });
}

/** As a batch of the polling reader: whoever asks for its records once they were taken out finds none. */
function releasable(given: Batch): Batch {
  const batch: { -readonly [K in keyof Batch]: Batch[K] } = {
    ...given,
    release: () => void (batch.records = []),
  };
  return batch;
}
