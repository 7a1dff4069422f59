// What is not checkpointed by hand yet is not given twice in one turn, and is given again in the next.
import { assertEquals } from "@std/assert";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch } from "../../src/ports.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";

Deno.test("manual checkpoints: a read that fails does not bring back what was processed in this turn", async () => {
  await using cluster = new Cluster(1);
  const { stream } = cluster;
  const open = stream.open.bind(stream);
  let failures = 0;
  stream.open = async function* (
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
  ): AsyncGenerator<Batch> {
    for await (const batch of open(shardId, after, signal)) {
      yield batch;
      if (batch.records.length > 0 && failures++ < 3) {
        throw new SourceError("Cannot read: a test", { kind: "unavailable" });
      }
    }
  };
  const journal = new Journal();
  const first = await cluster.start("A", journal.of("A"), { checkpointMode: "manual" });
  for (let round = 0; round < 5; round++) {
    cluster.put(10, round * 10);
    await cluster.clock.advance(5_000);
  }
  assertEquals(failures > 3, true);
  assertEquals(journal.numbers(), upTo(50));
  await cluster.clock.until(first.app.stop());
  await cluster.start("B", journal.of("B"), { checkpointMode: "manual" });
  await cluster.clock.advance(5_000);
  assertEquals(
    journal.texts("B").length,
    50,
    "nothing was checkpointed, so the next turn has all of it",
  );
});
