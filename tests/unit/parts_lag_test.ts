// Owns: a reader that gives a read in parts: how far behind the tip each of them is, and what is learned from all of them.
import { assert, assertEquals } from "@std/assert";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { Batch } from "../../src/ports.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { clientOf, wireRecord } from "./answer_testing.ts";

const ROOM = 12 * 1024 * 1024;
interface Answer {
  readonly records: number;
  readonly bytes: number;
  readonly behindMs: number;
}

/** A reader of such answers, at a clock that moves on only as the test says; and the limits that it asks with. */
async function reading(answers: readonly Answer[]) {
  const clock = new LeapingClock();
  const limits: unknown[] = [];
  const held = new BufferBudget(Infinity).open();
  const budget = {
    take: (wanted: number, { least }: { readonly least: number }): Promise<number> =>
      Promise.resolve(Math.max(least, Math.min(wanted, ROOM))),
    giveBack: () => {},
    mayComeInParts: true,
    keep: () => {},
    turn: (signal: AbortSignal) => held.turn(signal),
  };
  let number = 0;
  const { client } = await clientOf((operation, input) => {
    if (operation !== "GetRecords") return '{"ShardIterator":"iterator"}';
    const { records, bytes, behindMs } = answers[limits.push(input["Limit"]) - 1] ??
      { records: 0, bytes: 0, behindMs: 0 };
    return JSON.stringify({
      Records: Array.from({ length: records }, () => wireRecord(++number, { bytes })),
      NextShardIterator: "next",
      MillisBehindLatest: behindMs,
    });
  });
  const source = new KinesisPollingSource({
    ...{ client, clock, streamName: "orders", config: resolveConfig(), emit: () => {} },
    random: { next: () => 0, uuid: () => "" },
  });
  const { signal } = new AbortController();
  const batches = source.open("s", TRIM_HORIZON, signal, budget);
  let ahead = batches.next();
  /** As for somebody who needs a while for each batch, and asks for the next one before. */
  const next = async (processMs: number): Promise<Batch> => {
    const { value } = await held.awaited(ahead);
    ahead = batches.next();
    clock.leap(processMs);
    return value;
  };
  return { limits, next };
}

Deno.test("parts: the tip moves on while those before are processed; the last one is where its read ended", async () => {
  const answer = { records: 30, bytes: 100_000 };
  const { limits, next } = await reading([
    { ...answer, behindMs: 0 },
    { ...answer, behindMs: 60_000 },
  ]);
  const lags: number[] = [];
  let records = 0;
  while (limits.length < 3) {
    const batch = await next(3_600_000);
    records += batch.records.length;
    lags.push(batch.millisBehindLatest);
  }
  assertEquals(records, 60);
  const tip = lags.indexOf(0);
  assert(tip > 1, "the first read came in parts");
  // Of those that are left of the read, ten milliseconds each.
  assert(
    lags.slice(1, tip).every((lag, i) => Math.abs(lag - (i + 1) * 3_600_000) < 300),
    `${lags}`,
  );
  const second = lags.slice(tip + 1, -1);
  assert(second.length > 1, "so did the second one");
  assert(second.every((lag, i) => Math.abs(lag - 60_000 - i * 3_600_000) < 300), `${lags}`);
});

Deno.test("parts: a read counts once for what is learned of the size of records, however many parts it has", async () => {
  const { limits, next } = await reading([
    { records: 30, bytes: 100_000, behindMs: 1 },
    { records: 12_000, bytes: 100, behindMs: 1 },
  ]);
  let parts = 0;
  for (; limits.length < 3; parts++) {
    await next(1_000);
  }
  assert(parts > 10);
  // A quarter less than before for one read of small ones; then so many have room while they are decoded.
  const expected = ROOM / 3 / 75_000;
  const after = Number(limits[2]);
  assert(0.8 * expected < after && after < 1.2 * expected, `${limits}`);
});
