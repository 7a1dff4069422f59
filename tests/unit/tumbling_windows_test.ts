// Proves that windows begin only where it is known whose they are.
import { assertEquals, assertThrows } from "@std/assert";
import type { HashKeyRange, ShardBeginning, StatefulProcessor } from "../../src/processor.ts";
import { tumblingWindows } from "../../src/windows/tumbling_windows.ts";

const factory = tumblingWindows({ size: "1m", initial: () => 0, add: (n) => n + 1, close() {} });

function made(): StatefulProcessor {
  return factory("shard") as StatefulProcessor;
}

function beginning(
  child: HashKeyRange | null,
  parent: HashKeyRange | null,
  isMerged = false,
): ShardBeginning {
  const parents = [{ shardId: "parent", hashKeyRange: parent, state: made().snapshot() ?? "" }];
  return { shardId: "child", hashKeyRange: child, state: null, parents, isMerged };
}

Deno.test("windows: of a shard that was split they are refused by a child whose part nobody knows", () => {
  const whole = { start: "0", end: "9" };
  for (const [child, parent] of [[null, whole], [whole, null], [null, null]] as const) {
    const error = assertThrows(() => made().begin(beginning(child, parent)), Error, "hashKeyRange");
    assertEquals(error.message.includes('shard "parent" in shard "child"'), true);
    // Of two that were merged it gets all.
    made().begin(beginning(child, parent, true));
  }
  made().begin(beginning({ start: "0", end: "4" }, whole));
});
