// Owns: when a worker has left too many endless loops behind: not before the records are dealt with, unless there are far too many.
import { assertEquals, assertMatch } from "@std/assert";
import { LeftBehind } from "../../src/cli/left_behind.ts";
import type { AppEvent, AppFact } from "../../src/events.ts";

const STAMP = { time: "2026-01-01T00:00:00.000Z", workerId: "w" };
/** A second after a thread was given up its record has been told of. */
const TOLD_MS = 1_100;

class Stage implements Disposable {
  readonly leftBehind: LeftBehind = new LeftBehind(2);
  reason: Error | undefined;

  constructor() {
    this.leftBehind.tooMany.then((reason) => this.reason = reason);
  }

  tell(fact: AppFact): void {
    this.leftBehind.observe({ ...STAMP, ...fact } as AppEvent);
  }

  fail(sequenceNumber: string, name = "ProcessTimeoutError"): void {
    const error = { name, message: "" };
    this.tell({ type: "record_failed", shardId: "s", sequenceNumber, attempt: 1, error });
  }

  give(threads: number): void {
    for (let i = 0; i < threads; i++) this.leftBehind.add();
  }

  async isOver(ms = 0): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return this.reason !== undefined;
  }

  [Symbol.dispose](): void {
    this.leftBehind[Symbol.dispose]();
  }
}

Deno.test("left behind: fewer than there are cores are borne; what is no record's has nothing to wait for", async () => {
  using stage = new Stage();
  stage.give(1);
  assertEquals(await stage.isOver(TOLD_MS), false);
  stage.fail("5", "TypeError");
  stage.give(1);
  assertEquals(await stage.isOver(), false, "its record may be told of yet");
  assertEquals(await stage.isOver(TOLD_MS), true);
  assertMatch(stage.reason?.message ?? "", /2 threads .* --sandbox really ends/);
});

const checkpoint = (text: string): AppFact => ({
  type: "checkpoint_written",
  shardId: "s",
  term: 1,
  checkpoint: text,
  millisBehindLatest: 0,
});

Deno.test("left behind: each of the records has to be skipped, passed by a checkpoint, or given away", async () => {
  using stage = new Stage();
  stage.give(2);
  stage.fail("5");
  stage.fail("7");
  stage.fail("5");
  assertEquals(await stage.isOver(TOLD_MS), false);
  stage.tell({
    type: "record_skipped",
    shardId: "s",
    sequenceNumber: "5",
    attempts: 2,
    reason: "failed",
  });
  stage.tell(checkpoint("6"));
  stage.tell(checkpoint("TRIM_HORIZON"));
  assertEquals(await stage.isOver(), false);
  stage.tell(checkpoint("7"));
  assertEquals(await stage.isOver(), true);
  using other = new Stage();
  other.give(2);
  other.fail("5");
  assertEquals(await other.isOver(TOLD_MS), false);
  other.tell({ type: "shard_stopped", shardId: "other", reason: "recordFailed" });
  assertEquals(await other.isOver(), false);
  other.tell({ type: "lease_lost", shardId: "s", term: 1, reason: "" });
  assertEquals(await other.isOver(), true);
});

Deno.test("left behind: four for each core are too many, whatever becomes of the record", async () => {
  using stage = new Stage();
  stage.fail("5");
  stage.give(8);
  assertEquals(await stage.isOver(TOLD_MS), true);
});
