/**
 * Owns: the ports of one simulated process: its clock, its chance, its way to the shared table and stream.
 * Must not: decide what goes wrong; that is `sim_network.ts` and `scenario.ts`.
 * Called by: `sim_process.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../../src/core/checkpoint.ts";
import type { ResolvedConfig } from "../../src/core/config.ts";
import type { Row, RowChange } from "../../src/core/lease.ts";
import { SourceError, StoreError } from "../../src/errors.ts";
import type {
  Batch,
  Clock,
  LeaseStore,
  Random,
  RowKinds,
  RowListing,
  ShardInfo,
  StreamSource,
  WriteResult,
} from "../../src/ports.ts";
import { type Call, CallFailure, type NetworkHost, type SimNetwork } from "./sim_network.ts";
import { placeAfter, readFrom, type SimStream } from "./sim_stream.ts";
import type { SimTable } from "./sim_table.ts";
import type { Prng, World } from "./world.ts";

/** The wall time at which every simulation begins. */
export const EPOCH_MS: number = Date.UTC(2026, 0, 1);

/** A process as its ports see it. */
export interface PortHost extends NetworkHost {
  /** Sleeps that its code waits for. */
  pendingSleeps: number;
}

/** How wrong a clock is. */
export interface ClockError {
  /** How much faster than real time it runs; 1 is right. */
  readonly rate: number;
  /** How far its wall time is off, in milliseconds. */
  readonly offsetMs: number;
}

/** A clock that runs too fast or too slow, from a time of its own. */
export class SimClock implements Clock {
  readonly #world: World;
  readonly #host: PortHost;
  readonly #error: ClockError;

  constructor(world: World, host: PortHost, error: ClockError) {
    this.#world = world;
    this.#host = host;
    this.#error = error;
  }

  now(): number {
    return EPOCH_MS + this.#error.offsetMs + Math.floor(this.#world.now);
  }

  monotonic(): number {
    return this.#world.now * this.#error.rate;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted) {
      reject(signal.reason);
      return promise;
    }
    this.#host.pendingSleeps += 1;
    const onAbort = (): void => {
      this.#host.pendingSleeps -= 1;
      timer.isCancelled = true;
      reject(signal.reason);
    };
    // A thousandth more, so that a rounding of the rate never makes it less than what was asked for.
    const timer = this.#world.after(Math.max(0, ms) / this.#error.rate + 0.001, () => {
      this.#host.pendingSleeps -= 1;
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, this.#host);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise;
  }
}

/** Chance from the seed. The names that it draws begin with that of the process. */
export class SimRandom implements Random {
  readonly #random: Prng;
  readonly #name: string;
  #drawn = 0;

  constructor(random: Prng, name: string) {
    this.#random = random;
    this.#name = name;
  }

  next(): number {
    return this.#random.next();
  }

  uuid(): string {
    return `${this.#name}/${this.#drawn++}`;
  }
}

/** The name of the process that drew a uuid. */
export function processOf(uuid: string): string {
  return uuid.slice(0, uuid.lastIndexOf("/"));
}

/** What the ports of a process stand on. */
export interface PortOptions {
  readonly world: World;
  readonly host: PortHost;
  readonly clock: Clock;
  readonly random: Prng;
  readonly config: ResolvedConfig;
  readonly network: SimNetwork;
}

const READ_RETRY_MS = 100;

/** The shared table, far away. */
export class SimLeaseStore implements LeaseStore {
  readonly #options: PortOptions;
  readonly #table: SimTable;
  readonly #isTorn: () => boolean;
  /** The row at which the lists of a directed case are torn. */
  tornAt: string | undefined;

  constructor(options: PortOptions, table: SimTable, isTorn: () => boolean) {
    this.#options = options;
    this.#table = table;
    this.#isTorn = isTorn;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.#read({ task: "prepare the table", signal, serve: () => {} });
  }

  async list<K extends Row["kind"]>(
    kind: K,
    signal: AbortSignal,
  ): Promise<RowListing<RowKinds[K]>> {
    const table = this.#table;
    const pick = (ids: readonly string[]): RowKinds[K][] =>
      ids.flatMap((id) => table.read(kind, id) ?? []);
    const task = `list ${kind} rows`;
    if (this.tornAt === undefined && !this.#isTorn()) {
      const rows = await this.#read({ task, signal, serve: () => table.list(kind) });
      return { rows, malformed: [] };
    }
    // A query of DynamoDB is no snapshot: later rows are read later.
    const share = this.#options.random.next();
    let until = "";
    const rows = await this.#read({
      task,
      signal,
      serve: () => {
        const ids = table.ids(kind);
        until = this.tornAt ?? ids[Math.floor(ids.length * share)] ?? "";
        return pick(ids.filter((id) => id < until));
      },
      finish: (first) => [...first, ...pick(table.ids(kind).filter((id) => id >= until))],
    });
    return { rows, malformed: [] };
  }

  async read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null> {
    const serve = (): RowKinds[K] | null => this.#table.read(kind, id);
    return await this.#read({ task: `read ${kind} ${id}`, signal, serve });
  }

  async write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>> {
    const { host, network } = this.#options;
    const task = `write ${change.kind} ${change.id}`;
    const serve = (): WriteResult<R> => this.#table.write(change, host.name);
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

function toStoreError(error: unknown, task: string): unknown {
  if (!(error instanceof CallFailure)) return error;
  const { kind, maybeApplied, message } = error;
  return new StoreError(`Cannot ${task}: ${message}`, { kind, maybeApplied });
}

const READ_INTERVAL_MS = 200;

/** The shared stream, far away. */
export class SimStreamSource implements StreamSource {
  readonly #options: PortOptions;
  readonly #stream: SimStream;
  readonly #habits: { readonly staleMs: () => number; readonly hasChildren: boolean };
  /** Readers that are open. */
  openReaders = 0;

  constructor(
    options: PortOptions,
    stream: SimStream,
    habits: { readonly staleMs: () => number; readonly hasChildren: boolean },
  ) {
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

  async *open(shardId: string, after: Checkpoint, signal: AbortSignal): AsyncGenerator<Batch> {
    signal.throwIfAborted();
    const { clock, config, world } = this.#options;
    const shard = this.#stream.shard(shardId);
    if (shard === undefined || shard.isGone) throw missing(shardId);
    let place = placeAfter(shard, after);
    const notBefore = after.kind === "timestamp" ? after.timestamp : -Infinity;
    this.openReaders += 1;
    try {
      for (let nextReadAt = clock.monotonic();;) {
        const wait = nextReadAt - clock.monotonic();
        if (wait > 0) await clock.sleep(wait, signal);
        const startedAt = clock.monotonic();
        const read = await this.#call({
          task: `read ${shardId}`,
          signal,
          serve: () =>
            readFrom(shard, place, {
              recordsMax: config.maxBatchSize,
              stampOfNow: EPOCH_MS + world.now,
              notBefore,
            }),
        });
        if (read === null) throw missing(shardId);
        const { batch } = read;
        place = read.next;
        const isAtTip = batch.records.length === 0;
        nextReadAt = startedAt + (isAtTip ? config.emptyReceiveDelay : READ_INTERVAL_MS);
        if (batch.end !== undefined && !this.#habits.hasChildren) {
          yield { ...batch, end: { children: [] } };
        } else {
          yield batch;
        }
        if (batch.end !== undefined) return;
      }
    } finally {
      this.openReaders -= 1;
    }
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
