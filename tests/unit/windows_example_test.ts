// The example of windows does what it says, also when its shard is split in the middle of a window.
import { assertEquals } from "@std/assert";
import { countPerMinute, type Counts } from "../../examples/windowed_count.ts";
import { testKit } from "../../testing.ts";

Deno.test("examples/windowed_count.ts counts each key, through a split and a merge", async () => {
  const saved = new Map<string, Counts>();
  const processor = countPerMinute(({ id, state }) => void saved.set(id, state));
  await using kit = await testKit({ processor });
  const keys = ["ann", "bob", "cleo", "dan"];
  const putAll = (): void => keys.forEach((key) => void kit.put(key, ""));
  putAll();
  const [left, right] = kit.stream.split("shardId-000000000000");
  putAll();
  await kit.runUntilIdle();
  kit.stream.merge(left, right);
  putAll();
  await kit.advance(120_000);
  assertEquals([...saved.values()], [{ ann: 3, bob: 3, cleo: 3, dan: 3 }]);
});
