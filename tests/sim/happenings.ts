/**
 * Owns: what happens in a simulation while there are faults: records are put, workers crash, shards split, operators interfere.
 * Must not: carry it out on a worker; that is `fleet.ts`.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { Truth } from "./checker.ts";
import type { Fleet } from "./fleet.ts";
import { EPOCH_MS } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import type { Prng } from "./world.ts";

/** So many records may come on top of the first one of an aggregate. */
const AGGREGATED_MAX = 12;
/** So many splits and merges make a burst. */
const BURST = 4;

/** What the seed has in store. */
export class Happenings {
  readonly #truth: Truth;
  readonly #fleet: Fleet;
  readonly #random: Prng;
  /** Of every record: one for all. */
  readonly #payload: Uint8Array<ArrayBuffer>;
  #isHappening = true;

  constructor(truth: Truth, fleet: Fleet, random: Prng) {
    this.#truth = truth;
    this.#fleet = fleet;
    this.#random = random;
    this.#payload = new Uint8Array(truth.scenario.recordBytes);
  }

  /** From now on nothing happens any more. */
  end(): void {
    this.#isHappening = false;
  }

  /** Puts records from now on, until the faults end. */
  putRecords(): void {
    const { keys, recordsPerSecond, aggregated } = this.#truth.scenario;
    const { stream } = this.#truth;
    const drawKey = (): string => `key-${Math.floor(this.#random.next() ** 2 * keys)}`;
    const put = (): void => {
      if (!this.#isHappening) return;
      const key = drawKey();
      const stamp = EPOCH_MS + Math.floor(this.#truth.world.now);
      if (aggregated > 0 && this.#random.chance(aggregated)) {
        const shard = stream.openShardOf(key);
        const others = Array.from({ length: this.#random.whole(0, AGGREGATED_MAX) }, drawKey);
        const fitting = others.filter((other) => stream.openShardOf(other) === shard);
        stream.putAggregate([key, ...fitting], stamp);
      } else {
        stream.put(key, stamp, this.#payload);
      }
      const burst = this.#random.chance(0.02) ? 0.01 : 1;
      this.#truth.world.after(this.#random.between(0, 2_000 / recordsPerSecond) * burst, put);
    };
    this.#truth.world.after(0, put);
  }

  /** Has everything happen that the scenario says, again and again. */
  schedule(): void {
    const { happenings, retentionMs, workers } = this.#truth.scenario;
    const { heartbeatTimeout, stream } = { ...this.#truth.config, ...this.#truth };
    const fleet = this.#fleet;
    const random = this.#random;
    const someone = (act: (process: SimProcess) => void): void => {
      if (fleet.targets.length > 0) act(random.pick(fleet.targets));
    };
    const aWhile = (): number =>
      random.between(0, random.chance(0.5) ? 0.7 : 2.5) * heartbeatTimeout;
    this.#often(happenings.crash, () => someone((process) => this.#crash(process)));
    this.#often(happenings.pause, () => someone((process) => fleet.pause(process, aWhile())));
    this.#often(
      happenings.partition,
      () => someone((process) => fleet.partition(process, aWhile())),
    );
    this.#often(happenings.stop, () => someone((process) => this.#stop(process)));
    const fleetMax = Math.max(8, workers + 1);
    this.#often(happenings.join, () => fleet.live.length < fleetMax && fleet.start());
    this.#often(happenings.twin, () => someone((process) => this.#twin(process, aWhile())));
    this.#often(happenings.split, () => this.#reshard("split"));
    this.#often(happenings.merge, () => this.#reshard("merge"));
    this.#often(happenings.burst, () => this.#burst());
    this.#often(
      happenings.clockJump,
      () => someone((process) => fleet.jumpClock(process, random.between(-1, 1) ** 3 * 900_000)),
    );
    this.#often(happenings.operator, () => someone((process) => this.#operate(process)));
    this.#often(happenings.order, () => this.#order());
    this.#often(happenings.outage, () => fleet.outage(random.between(0, heartbeatTimeout * 1.5)));
    const trim = (): void => {
      const unread = stream.trim(retentionMs, EPOCH_MS + this.#truth.world.now);
      this.#truth.coverage.count("unread record trimmed", unread);
      this.#truth.world.after(retentionMs / 20, trim);
    };
    this.#truth.world.after(retentionMs / 20, trim);
  }

  /**
   * A process is started under the id of one that runs. That one may not learn of it for a while, and the new one may be gone
   * by then.
   */
  #twin(process: SimProcess, ms: number): void {
    const fleet = this.#fleet;
    if (this.#random.chance(0.5)) fleet.partition(process, ms * 0.5, 0.3);
    const twin = fleet.start(process.workerId);
    if (this.#random.chance(0.6)) return;
    this.#truth.world.after(this.#random.between(0, this.#truth.config.heartbeatTimeout), () => {
      if (this.#isHappening && twin.isLive) fleet.stop(twin);
    });
  }

  #reshard(how: "split" | "merge", ofLast = Infinity): void {
    const { stream } = this.#truth;
    if (stream.shards.length >= this.#truth.scenario.shardsMax) return;
    const shard = this.#random.pick(stream.open.slice(-ofLast));
    if (how === "split") stream.split(shard);
    else if (!stream.merge(shard)) return;
    this.#truth.coverage.count(how);
  }

  /** Shards are split and merged again before anybody has looked at them. */
  #burst(): void {
    this.#truth.coverage.count("burst of splits and merges");
    const everyMs = this.#random.between(50, this.#random.chance(0.5) ? 500 : 3_000);
    for (let i = 0; i < BURST; i++) {
      const how = i === 0 || this.#random.chance(0.4) ? "split" : "merge";
      const ofLast = this.#random.chance(0.7) ? 4 : Infinity;
      this.#truth.world.after(i * everyMs, () => this.#reshard(how, ofLast));
    }
  }

  /** Stops a shard and starts it later, everywhere or on one worker; or changes the processor. */
  #operate(process: SimProcess): void {
    const fleet = this.#fleet;
    if (this.#random.chance(0.3)) return fleet.changeProcessor(process);
    const { id } = this.#random.pick(this.#truth.stream.shards);
    const isEverywhere = this.#random.chance(0.3);
    const workers = (): readonly SimProcess[] => isEverywhere ? fleet.live : [process];
    for (const worker of workers()) fleet.stopShard(worker, id);
    const afterMs = this.#random.between(0, 3 * this.#truth.config.heartbeatTimeout);
    this.#truth.world.after(afterMs, () => {
      for (const worker of workers()) if (worker.isLive) fleet.startShard(worker, id);
    });
  }

  /** Stops a shard for the whole cluster and starts it later, or has it handed over. */
  #order(): void {
    const fleet = this.#fleet;
    const { id } = this.#random.pick(this.#truth.stream.shards);
    if (fleet.live.length > 0 && this.#random.chance(0.4)) {
      return fleet.orderHandover(id, this.#random.pick(fleet.live).workerId);
    }
    fleet.order("stop", id);
    if (this.#random.chance(0.2)) return;
    const afterMs = this.#random.between(0, 3 * this.#truth.config.heartbeatTimeout);
    this.#truth.world.after(afterMs, () => fleet.order("start", id));
  }

  #crash(process: SimProcess): void {
    this.#fleet.crash(process);
    const isSame = this.#random.chance(0.6);
    const afterMs = this.#random.between(0, 2 * this.#truth.config.heartbeatTimeout);
    if (this.#random.chance(0.3)) return;
    this.#truth.world.after(afterMs, () => {
      if (this.#isHappening) this.#fleet.start(isSame ? process.workerId : undefined);
    });
  }

  #stop(process: SimProcess): void {
    this.#fleet.stop(process);
    if (this.#random.chance(0.3)) return;
    const isSame = this.#random.chance(0.6);
    const { heartbeat, heartbeatTimeout } = this.#truth.config;
    const afterMs = this.#random.between(
      0,
      this.#random.chance(0.5) ? heartbeat : heartbeatTimeout,
    );
    this.#truth.world.after(afterMs, () => {
      if (this.#isHappening) this.#fleet.start(isSame ? process.workerId : undefined);
    });
  }

  /** Does something again and again, as long as things happen. */
  #often(everyMs: number, act: () => unknown): void {
    if (everyMs === 0) return;
    const next = (): void => {
      this.#truth.world.after(this.#random.between(0.1, 1.9) * everyMs, () => {
        if (!this.#isHappening) return;
        act();
        next();
      });
    };
    next();
  }
}
