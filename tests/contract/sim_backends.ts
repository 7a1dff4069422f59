// Owns: the ports of the simulator as the contracts want them, with a world that goes on by itself.
// Must not: lose or delay anything: the contract is what holds when nothing goes wrong.
// Called by: lease_store_contract_test.ts, stream_source_contract_test.ts.
import { setImmediate } from "node:timers";
import { resolveConfig } from "../../src/core/config.ts";
import { NO_FAULTS } from "../sim/scenario.ts";
import { SimNetwork } from "../sim/sim_network.ts";
import { EPOCH_MS, type PortHost, SimClock } from "../sim/sim_clock.ts";
import { type PortOptions, SimLeaseStore, SimStreamSource, UNOBSERVED } from "../sim/sim_ports.ts";
import { SimStream } from "../sim/sim_stream.ts";
import { type SimSink, SimTable } from "../sim/sim_table.ts";
import { World } from "../sim/world.ts";
import type { LeaseStoreBackend } from "./lease_store_contract.ts";
import type { StreamBackend } from "./stream_source_contract.ts";
import { idOf } from "./transaction_contract.ts";

const FAULTLESS = { latencyMin: 1, latencyMax: 5, ...NO_FAULTS };
const STEP_MS = 1;

/** A world that goes on until it is disposed, and what the ports of a process in it stand on. */
class LivingWorld implements AsyncDisposable {
  readonly world = new World(1, { eventsMax: 1_000_000 });
  readonly ports: PortOptions;
  #isOver = false;
  readonly #living: Promise<void>;

  constructor() {
    const { world } = this;
    const host: PortHost = {
      name: "anna",
      isCrashed: false,
      pausedUntil: 0,
      isDeaf: { requests: false, replies: false },
      pendingCalls: 0,
      pendingSleeps: 0,
    };
    this.ports = {
      world,
      host,
      clock: new SimClock(world, host, { rate: 1, offsetMs: 0 }),
      random: world.random.fork(),
      config: resolveConfig({ maxBatchSize: 10 }),
      network: new SimNetwork({
        world,
        random: world.random.fork(),
        faults: FAULTLESS,
        timeoutMs: 1_000,
        isFaulty: () => false,
        outageUntil: () => 0,
        onFault: () => {},
      }),
      observer: UNOBSERVED,
    };
    this.#living = this.#live();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#living;
    if (this.world.failure !== undefined) throw this.world.failure;
  }

  async #live(): Promise<void> {
    while (!this.#isOver && this.world.failure === undefined) {
      await this.world.runUntil(this.world.now + STEP_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** State tables of the simulator, one for each stream. */
export function simulatedTable(): LeaseStoreBackend {
  const life = new LivingWorld();
  const tables = new Map<string, SimTable>();
  const counts = new Map<string, number>();
  const count = (id: string): number => counts.get(id) ?? 0;
  const sink: SimSink = {
    refused: (items) =>
      items.flatMap((item, index) => {
        if (item.Put === undefined || count(idOf(item)) === 0) return [];
        const code = "ConditionalCheckFailed";
        return [{ index, code, message: "it is there", item: { count: { N: "1" } } }];
      }),
    write(items) {
      for (const item of items) counts.set(idOf(item), count(idOf(item)) + 1);
    },
  };
  return {
    sink: { count: (id) => Promise.resolve(count(id)) },
    store(streamName) {
      const table = tables.get(streamName) ?? new SimTable(() => {}, sink);
      tables.set(streamName, table);
      return new SimLeaseStore(life.ports, table, { isTorn: () => false, readyAt: 0 });
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

/** A stream of the simulator. */
export function simulatedStream(shards: number): StreamBackend {
  const life = new LivingWorld();
  const { world, ports } = life;
  const stream = new SimStream(shards, () => world.now, 12);
  let leapt = 0;
  const now = (): number => EPOCH_MS + Math.floor(world.now) + leapt;
  return {
    source: new SimStreamSource(ports, stream, {
      staleMs: () => 0,
      hasChildren: true,
      iteratorMs: 300_000,
    }),
    clock: { now, leap: (ms) => leapt += ms },
    put(partitionKey, data) {
      const { shard, sequenceNumber } = stream.put(partitionKey, now(), new Uint8Array(data));
      return Promise.resolve({ shardId: shard.id, sequenceNumber });
    },
    split(shardId) {
      stream.split(openShard(stream, shardId));
      return Promise.resolve();
    },
    merge(shardId) {
      stream.merge(openShard(stream, shardId));
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => life[Symbol.asyncDispose](),
  };
}

function openShard(stream: SimStream, shardId: string) {
  const shard = stream.open.find(({ id }) => id === shardId);
  if (shard === undefined) throw new RangeError(`Cannot find open shard "${shardId}"`);
  return shard;
}
