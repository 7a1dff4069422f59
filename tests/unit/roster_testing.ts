// Owns: the shards of a worker with a stream of one shard, and another worker that asks for it.
// Must not: assert what the roster does.
// Called by: the tests of the roster.
import { assert } from "@std/assert";
import { MemoryStream } from "../../src/adapters/memory.ts";
import { requestHandover, type ShardRow } from "../../src/core/lease.ts";
import { Processors } from "../../src/runtime/processors.ts";
import { type RosterDeps, ShardRoster } from "../../src/runtime/shard_roster.ts";
import { Bench, recordDeps } from "./runtime_testing.ts";

export const SHARD = "shardId-000000000000";

/** What a test of the roster holds in its hands. */
export interface Started {
  readonly bench: Bench;
  readonly stream: MemoryStream;
  readonly roster: ShardRoster;
  readonly row: ShardRow;
  /** The texts of the records that were started. */
  readonly seen: string[];
  /** What the roster told the worker. */
  readonly log: string[];
}

/** A worker with a stream of one shard, which it has not taken yet. */
export async function build(
  process: (text: string) => void | Promise<void> = () => {},
  changes: Partial<RosterDeps> = {},
): Promise<Started> {
  const bench = new Bench();
  const { clock, emit } = bench;
  const stream = new MemoryStream({ shards: 1, clock });
  const row = await bench.addShard(SHARD);
  const seen: string[] = [];
  const log: string[] = [];
  const processors = new Processors({
    process(record) {
      seen.push(record.text());
      return process(record.text());
    },
  }, { clock, emit, processTimeout: 0 });
  const roster = new ShardRoster({
    ...bench.deps({ checkpointFrequency: 0 }),
    ...recordDeps(bench),
    source: stream,
    processors,
    unreadableAfter: 60_000,
    goneAfter: 30_000,
    coolOff: 60_000,
    alive: () => new Set(["A", "B"]),
    heirOf: () => undefined,
    onGiven: (to) => log.push(`given to ${to}`),
    onFree: () => log.push("free"),
    onEnding: () => Promise.resolve(),
    onFatal: (error) => log.push(`fatal ${error}`),
    ...changes,
  });
  return { bench, stream, roster, row, seen, log };
}

/** Puts records of one key into the stream. */
export function put(stream: MemoryStream, ...texts: readonly string[]): void {
  for (const text of texts) stream.put("key", text);
}

/** Another worker asks for the shard, and this one sees it. */
export async function asked({ bench, roster }: Started): Promise<ShardRow> {
  const change = requestHandover(await bench.store.shard(SHARD), { to: "B", id: "1" });
  const { row } = await bench.store.table.write(change, bench.signal);
  assert(row !== null);
  roster.handOver(row);
  return row;
}
