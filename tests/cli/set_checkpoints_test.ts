// Setting checkpoints in a cluster at work: what was stopped for it is started again, whatever fails.
import { assertEquals, assertRejects } from "@std/assert";
import { type Control, setCheckpoints } from "../../src/cli/checkpoints/set_checkpoints.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { newShardRow, type ShardRow } from "../../src/core/lease.ts";

const rows = ["a", "b", "c"].map((id): ShardRow =>
  newShardRow({ id, parents: [], hashKeyRange: null }, TRIM_HORIZON)
);

Deno.test("set checkpoints: a shard that cannot be started again keeps no other one stopped", async () => {
  const started: string[] = [];
  const control = {
    shards: () => Promise.resolve(rows),
    stop: () => Promise.resolve(rows[0]),
    setCheckpoint: () => Promise.resolve(rows[0]),
    start(shardId: string) {
      if (shardId === "a") return Promise.reject(new Error("the table is busy"));
      started.push(shardId);
      return Promise.resolve(rows[0]);
    },
  } as unknown as Control;
  const error = await assertRejects(
    () =>
      setCheckpoints(control, new Map(rows.map(({ id }) => [id, TRIM_HORIZON])), {
        ...{ stopsFirst: true, isForced: false, isDryRun: false, waitMs: 0, alive: new Set() },
        signal: new AbortController().signal,
      }),
    Error,
  );
  assertEquals(started, ["b", "c"]);
  assertEquals(
    error.message,
    'Cannot start what was stopped: "a": the table is busy; use kinesix shard start',
  );
});
