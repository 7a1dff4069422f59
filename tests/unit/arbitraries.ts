// Owns: random rows, checkpoints and families of shards for the property tests.
// Must not: assert anything.
// Called by: the core tests of this folder.
import fc from "fast-check";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { newShardRow, type ShardRow, type WorkerRow } from "../../src/core/lease.ts";

/** The largest sequence number that a row may hold: 128 digits. */
const SEQUENCE_NUMBER_MAX = 10n ** 128n - 1n;

export const sequenceNumbers: fc.Arbitrary<string> = fc.oneof(
  fc.bigInt({ min: 0n, max: 20n }),
  fc.bigInt({ min: 0n, max: SEQUENCE_NUMBER_MAX }),
).map(String);

export const checkpoints: fc.Arbitrary<Checkpoint> = fc.oneof(
  fc.constant<Checkpoint>({ kind: "trimHorizon" }),
  fc.constant<Checkpoint>({ kind: "shardEnd" }),
  fc.integer({ min: 0, max: 253_402_300_799_999 })
    .map((timestamp): Checkpoint => ({ kind: "timestamp", timestamp })),
  sequenceNumbers.map((sequenceNumber): Checkpoint => ({ kind: "sequence", sequenceNumber })),
  fc.tuple(sequenceNumbers, fc.integer({ min: 0, max: 1_000 })).map((
    [sequenceNumber, subSequenceNumber],
  ): Checkpoint => ({ kind: "sequence", sequenceNumber, subSequenceNumber })),
);

export function shardRow(id: string, fields: Partial<ShardRow> = {}): ShardRow {
  const bare = newShardRow({ id, parents: [], hashKeyRange: null }, { kind: "trimHorizon" });
  return { ...bare, ...fields };
}

export function workerRow(id: string, fields: Partial<WorkerRow> = {}): WorkerRow {
  return {
    kind: "worker",
    id,
    incarnation: `${id}-1`,
    beat: 0,
    beatAt: 0,
    heartbeatTimeout: 1_000,
    attention: null,
    shards: 0,
    isDraining: false,
    version: "test",
    ...fields,
  };
}

/** A shard of a random family, with the hash keys that it covers. */
export interface Member {
  readonly id: string;
  readonly parents: readonly string[];
  readonly generation: number;
}

/** The shards that some splits and merges make of a few, oldest first. */
export const families: fc.Arbitrary<readonly Member[]> = fc.record({
  roots: fc.integer({ min: 1, max: 4 }),
  moves: fc.array(fc.tuple(fc.boolean(), fc.nat(1_000)), { maxLength: 12 }),
}).map(({ roots, moves }) => {
  const all: Member[] = [];
  const add = (parents: readonly Member[]): Member => {
    const generation = 1 + Math.max(-1, ...parents.map((parent) => parent.generation));
    const id = `shard-${String(all.length).padStart(3, "0")}`;
    const member = { id, parents: parents.map((parent) => parent.id), generation };
    all.push(member);
    return member;
  };
  // The open shards, in the order of their hash keys: neighbours may merge.
  const open = Array.from({ length: roots }, () => add([]));
  for (const [isSplit, at] of moves) {
    const index = at % open.length;
    const [left, right] = [open[index], open[index + 1]];
    if (left === undefined) continue;
    if (isSplit) open.splice(index, 1, add([left]), add([left]));
    else if (right !== undefined) open.splice(index, 2, add([left, right]));
  }
  return all;
});
