// Setting checkpoints in a cluster at work: what was stopped for it is started again, whatever fails.
import { assertEquals, assertRejects } from "@std/assert";
import {
  type Control,
  setCheckpoints,
  type SetOptions,
} from "../../src/cli/checkpoints/set_checkpoints.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { newShardRow, type ShardRow } from "../../src/core/lease.ts";

const rows = ["a", "b", "c"].map((id): ShardRow =>
  newShardRow({ id, parents: [], hashKeyRange: null }, TRIM_HORIZON)
);

/** A cluster whose every write a test can make fail. */
function cluster(fails: Partial<Record<"stop" | "setCheckpoint" | "start", string>> = {}) {
  const done: string[] = [];
  const write = (verb: "stop" | "setCheckpoint" | "start") => (shardId: string) => {
    if (fails[verb] === shardId) {
      return Promise.reject(new Error(`Cannot ${verb} ${shardId}: busy`));
    }
    done.push(`${verb} ${shardId}`);
    return Promise.resolve(rows[0]);
  };
  const control = {
    shards: () => Promise.resolve(rows),
    ...{ stop: write("stop"), setCheckpoint: write("setCheckpoint"), start: write("start") },
  } as unknown as Control;
  return { control, done };
}

function set(control: Control, options: Partial<SetOptions> = {}) {
  return setCheckpoints(control, new Map(rows.map(({ id }) => [id, TRIM_HORIZON])), {
    ...{ stopsFirst: true, isForced: false, isDryRun: false, waitMs: 0, alive: new Set<string>() },
    signal: new AbortController().signal,
    ...options,
  });
}

Deno.test("set checkpoints: a shard that cannot be started again keeps no other one stopped", async () => {
  const { control, done } = cluster({ start: "a" });
  const error = await assertRejects(() => set(control), Error);
  assertEquals(done.slice(-2), ["start b", "start c"]);
  assertEquals(
    error.message,
    'Cannot start what was stopped: "a": Cannot start a: busy; use kinesix shard start',
  );
});

Deno.test("set checkpoints: what failed first is told, and after it what could not be started", async () => {
  const { control, done } = cluster({ setCheckpoint: "b", start: "c" });
  const error = await assertRejects(() => set(control), Error);
  assertEquals(done.slice(-3), ["setCheckpoint a", "start a", "start b"]);
  assertEquals(
    error.message,
    "Cannot setCheckpoint b: busy; 1 of 3 are set: call it again for the rest. Then also: " +
      'Cannot start what was stopped: "c": Cannot start c: busy; use kinesix shard start',
  );
  const mended = cluster({ setCheckpoint: "a" });
  const alone = await assertRejects(() => set(mended.control), Error);
  assertEquals(
    alone.message,
    "Cannot setCheckpoint a: busy; what was stopped for it is started again",
  );
  assertEquals(mended.done.slice(-3), ["start a", "start b", "start c"]);
});

Deno.test("set checkpoints: a signal is heeded between two writes, and what was stopped starts again", async () => {
  for (
    const [after, told] of [[1, "1 of 3 are set: call it again for the rest"], [
      0,
      "nothing was set",
    ]] as const
  ) {
    const { control, done } = cluster();
    const stopping = new AbortController();
    const stop = control.stop.bind(control);
    const stopped = after > 0 ? control : Object.assign(control, {
      stop: (shardId: string) => {
        stopping.abort("SIGINT");
        return stop(shardId);
      },
    });
    const error = await assertRejects(
      () => set(stopped, { signal: stopping.signal, onProgress: () => stopping.abort("SIGINT") }),
      Error,
    );
    assertEquals(
      error.message,
      `Cannot set the checkpoints of 3 shards: stopped by SIGINT; ${told}; ` +
        "what was stopped for it is started again",
    );
    assertEquals(done.filter((write) => write.startsWith("set")).length, after);
    const stops = done.filter((write) => write.startsWith("stop")).length;
    assertEquals(stops, after > 0 ? 3 : 1);
    assertEquals(done.filter((write) => write.startsWith("start")).length, stops);
  }
});

Deno.test("set checkpoints: a worker that gives nothing up in time is told, and what runs because of it", async () => {
  const [a, b, c] = rows;
  if (a === undefined || b === undefined || c === undefined) throw new Error("three rows");
  const held = [{ ...a, owner: "w", holder: "1" }, { ...b, stoppedBy: ["v"] }, c];
  const { control, done } = cluster();
  const busy = Object.assign(control, { shards: () => Promise.resolve(held) });
  const error = await assertRejects(() => set(busy, { alive: new Set(["w"]) }), Error);
  assertEquals(
    error.message,
    'Cannot set the checkpoints of 3 shards: worker "w" did not give up shard "a" within 0 ms; ' +
      "nothing was set. If that worker is dead use --force; what was stopped for it is started " +
      'again, also shard "b", which worker "v" had stopped before (see kinesix shard stop)',
  );
  assertEquals(done.slice(-3), ["start a", "start b", "start c"]);
});
