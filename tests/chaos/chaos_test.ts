// Some rounds of one seed; `deno task chaos` plays many.
import { assertEquals, assertGreater } from "@std/assert";
import { tell } from "../local/cluster.ts";
import { play } from "./run.ts";
import { planRound } from "./schedule.ts";

const SEED = 3;
/** No round begins later than this; the test lasts about a minute. */
const FOR_MS = 40_000;

Deno.test("chaos: a seed always plans the same rounds, and every third one has no faults", () => {
  for (let round = 0; round < 30; round++) {
    const plan = planRound(SEED, round);
    assertEquals(planRound(SEED, round), plan);
    const isGentle = plan.process.every(({ action }) => action.kind === "terminate") &&
      plan.world.every(({ action }) => action.kind === "reshard" || action.kind === "burst");
    assertEquals(plan.isCalm, round % 3 === 0);
    if (plan.isCalm) assertEquals(isGentle, true);
  }
});

Deno.test("chaos: real workers keep the promises while they are killed, stopped and cut off", async () => {
  const { rounds, put, repeated, claims, slowestCalmMs } = await play(SEED, { forMs: FOR_MS });
  assertGreater(rounds, 1);
  tell(`seed ${SEED}: ${rounds} rounds, ${put} records, ${claims} claims`);
  tell(`${repeated} processed again, calm ${Math.round(slowestCalmMs)} ms after the faults`);
});
