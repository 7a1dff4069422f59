/**
 * Owns: how long the shards of a consumer stand still after kill -9, for each consumer that shares shards.
 * Called by: `peers.ts`.
 */

import { streamNameOf } from "../canned_server.ts";
import type { ChildProcess } from "../child.ts";
import type { BenchOptions, Row, Section } from "../report.ts";
import type { Peer, PeerLine } from "./install.ts";
import type { Stage } from "./peers.ts";

const SHARDS = 4;
/** For both to have shards, and for one to have all of them again. */
const PATIENCE_MS = 360_000;
const IN_VAIN = `in ${PATIENCE_MS / 1_000} s`;
/** A shard that was not processed for so long is not its worker's any more. */
const RECENT_MS = 10_000;
/** More than anybody reads meanwhile. */
const ENDLESS = 1_000_000_000;

/** Two processes share the shards, until one is killed. */
export async function takeover(
  peers: readonly Peer[],
  stage: Stage,
  options: BenchOptions,
): Promise<Section> {
  const rows: Row[] = [];
  for (const peer of peers) {
    options.say(`takeover: ${peer.name}`);
    const took = await killOne(peer, stage);
    rows.push(
      typeof took === "number"
        ? { name: peer.name, figures: { took: { unit: "s", values: [took] } } }
        : { name: `${peer.name}: ${took}`, figures: {} },
    );
  }
  return {
    title: `peers: kill -9 of one of two workers, until all ${SHARDS} shards are processed again`,
    rows,
    note:
      "Once. A worker that is silent for 10 s is dead: the KCL's default, and what this library was set to " +
      "(its default is\n3 min); lifion-kinesis has no such setting.",
  };
}

/** Seconds; or what did not come to pass. */
async function killOne(peer: Peer, { kinesis, dynamoDB }: Stage): Promise<number | string> {
  const shape = {
    shards: SHARDS,
    recordsPerShard: ENDLESS,
    recordBytes: 100,
    answerRecords: 10,
  };
  const job = {
    kinesis: kinesis.url,
    dynamoDB,
    streamName: streamNameOf(shape),
    appName: `Peer-${crypto.randomUUID()}`,
    shards: SHARDS,
    records: -1,
    isPaced: true,
    isWatched: true,
  };
  await using first = new Watched(peer.start({ ...job, workerId: "worker-1" }));
  if (!await within(() => first.shards().size === SHARDS)) return `not all shards ${IN_VAIN}`;
  await using second = new Watched(peer.start({ ...job, workerId: "worker-2" }));
  const isShared = () =>
    first.shards().size > 0 && second.shards().size > 0 &&
    first.shards().size + second.shards().size === SHARDS;
  if (!await within(isShared)) return `no shares for both ${IN_VAIN}`;
  const killedAt = performance.now();
  second.kill();
  const isTaken = () => first.shardsSince(killedAt).size === SHARDS;
  return await within(isTaken)
    ? (performance.now() - killedAt) / 1_000
    : `not taken over ${IN_VAIN}`;
}

/** A process, and when it last processed a record of each shard. */
class Watched implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lastAt = new Map<string, number>();
  readonly #ended: Promise<void>;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = this.#watch().catch(() => {}); // It was killed.
  }

  /** The shards that it processes now. */
  shards(): ReadonlySet<string> {
    return this.shardsSince(performance.now() - RECENT_MS);
  }

  /** The shards of which it processed records after a time. */
  shardsSince(time: number): ReadonlySet<string> {
    return new Set([...this.#lastAt].filter(([, at]) => at > time).map(([shardId]) => shardId));
  }

  kill(): void {
    this.#child.kill("SIGKILL");
    this.#lastAt.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    await this.#ended;
  }

  async #watch(): Promise<void> {
    while (true) {
      const line = await this.#child.next<PeerLine>();
      if (line.kind === "batch") this.#lastAt.set(line.shardId, performance.now());
    }
  }
}

async function within(isSo: () => boolean): Promise<boolean> {
  for (const startedAt = performance.now(); performance.now() - startedAt < PATIENCE_MS;) {
    if (isSo()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
