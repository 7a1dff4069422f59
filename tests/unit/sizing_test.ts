// Owns: what a cluster asks of its state table: against what the large clusters of the simulator were seen to ask.
import { assert, assertEquals } from "@std/assert";
import { writeFields } from "../../src/adapters/row_codec.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { ShardRow, WorkerRow } from "../../src/core/lease.ts";
import {
  checkpointWrites,
  checkpointWritesMax,
  readUnitsAtRest,
  ROW_BYTES,
  tableBytes,
  writesAtRest,
} from "../../src/core/sizing.ts";

const CONFIG = resolveConfig();

Deno.test("sizing: at rest, as measured in the simulator (docs/performance.md, Sizing)", () => {
  // Workers, shards, read units a minute, writes a minute; the simulator takes a shard's row for 350 bytes.
  const measured = [[10, 200, 212, 20], [100, 2_000, 2_060, 200], [1_000, 10_000, 30_802, 1_999]];
  for (const [workers = 0, shards = 0, units = 0, writes = 0] of measured) {
    const size = { workers, shards };
    const reads = 60 * readUnitsAtRest(size, CONFIG, { shard: 350, worker: 250 });
    assert(Math.abs(reads - units) < units * 0.16, `${reads} for ${units}`);
    assert(Math.abs(60 * writesAtRest(size, CONFIG) - writes) < 1.5);
  }
  assertEquals(readUnitsAtRest({ workers: 0, shards: 9 }, CONFIG), 0);
});

Deno.test("sizing: checkpoints, by the settings and by the records", () => {
  const each = (checkpointFrequency: number) => resolveConfig({ checkpointFrequency });
  const load = { shards: 4, recordsPerSecond: 400 };
  assertEquals(checkpointWrites(load, each(1_000)), 4);
  assertEquals(checkpointWrites(load, each(10_000)), 0.4);
  assertEquals(checkpointWrites(load, each(0)), 400, "each record");
  assertEquals(checkpointWrites({ ...load, recordsPerSecond: 1 }, each(1_000)), 1);
  assertEquals(checkpointWrites({ shards: 0, recordsPerSecond: 0 }, each(0)), 0);
  assertEquals(checkpointWritesMax(10, each(1_000)), 10);
  assertEquals(checkpointWritesMax(10, each(0)), 50);
});

Deno.test("sizing: rows weigh about what they are taken to weigh, and less than a write unit", () => {
  const shard: ShardRow = {
    kind: "shard",
    id: "shardId-000000000000",
    owner: "ip-10-0-12-34-5f3a9c21",
    holder: crypto.randomUUID(),
    previousOwner: "ip-10-0-12-35-90ab12cd",
    term: 12,
    checkpoint: { kind: "sequence", sequenceNumber: "4".repeat(56) },
    checkpointAt: 1_700_000_000_000,
    millisBehindLatest: 120,
    parents: [],
    hashKeyRange: { start: "1".repeat(39), end: "2".repeat(39) },
    stoppedBy: [],
    handover: null,
    because: "balance",
    order: null,
    state: null,
  };
  const worker: WorkerRow = {
    kind: "worker",
    id: "ip-10-0-12-34-5f3a9c21",
    incarnation: crypto.randomUUID(),
    beat: 1_000,
    beatAt: 1_700_000_000_000,
    heartbeatTimeout: 180_000,
    attention: crypto.randomUUID(),
    shards: 10,
    isDraining: false,
    version: "1.0.0",
  };
  const keys = "Stream".length + "my-stream-of-orders".length + "Row".length;
  const bytesOf = (row: ShardRow | WorkerRow): number => {
    const { kind, id, ...fields } = row;
    const item = Object.entries(writeFields(kind, fields)).filter(([, value]) => value !== null);
    const attributes = item.map(([name, value]) =>
      name.length + JSON.stringify(Object.values(value ?? {})[0]).length - 2
    );
    return keys + `${kind}/${id}`.length + attributes.reduce((sum, bytes) => sum + bytes, 0);
  };
  for (const row of [shard, worker]) {
    const taken = ROW_BYTES[row.kind as "shard" | "worker"];
    assert(Math.abs(bytesOf(row) - taken) < taken * 0.15, `${row.kind}: ${bytesOf(row)}`);
  }
  assertEquals(tableBytes({ workers: 2, shards: 4 }), 2 * 250 + 4 * 450);
});
