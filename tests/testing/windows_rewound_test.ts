// Owns: windows of a shard that was split, and is processed once more.
import { assertEquals } from "@std/assert";
import { ReactoKinesixApp, tumblingWindows } from "../../mod.ts";
import { testKit } from "../../testing.ts";

const SHARD = "shardId-000000000000";

Deno.test("windows: what is open at the end of a shard that is rewound goes to children that are rewound, too", async () => {
  const closed = new Map<string, number>();
  const processor = tumblingWindows({
    size: "1m",
    initial: () => 0,
    add: (count) => count + 1,
    close: ({ id, state }) => void closed.set(id, state),
    split: (count, child) => child.isFirst ? count : undefined,
    merge: (a, b) => a + b,
  });
  await using kit = await testKit({ processor });
  for (const key of ["a", "b", "c", "d"]) kit.put(key, "");
  await kit.runUntilIdle();
  const children = kit.stream.split(SHARD);
  for (const key of ["a", "b", "c", "d"]) kit.put(key, "");
  await kit.advance(10 * 60_000);
  const before = [...closed];
  assertEquals(before.reduce((sum, [, count]) => sum + count, 0), 8);
  await kit.workers[0]?.stop();
  await using control = await ReactoKinesixApp.control({
    appName: "test",
    streamName: "stream",
    ports: { store: kit.store, source: kit.stream, clock: kit.clock },
  });
  closed.clear();
  for (const id of [...children, SHARD]) await control.setCheckpoint(id, { kind: "trimHorizon" });
  await kit.addWorker();
  await kit.advance(10 * 60_000);
  assertEquals([...closed].sort(), before.sort(), "the same windows, under the same ids");
});
