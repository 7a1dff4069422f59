// The order of a hunt, with seeds that take long or fail as the test wants.
import { assertEquals, assertRejects } from "@std/assert";
import { Jobs, unanswered } from "./jobs.ts";
import { hunt } from "./hunt.ts";
import type { SimulationResult } from "./simulation.ts";

/** Of three seeds that run at a time, later ones are done earlier. */
function jobs(options: { readonly failing: readonly number[]; readonly begun?: number[] }) {
  return {
    size: 3,
    async simulate(seed: number): Promise<SimulationResult> {
      options.begun?.push(seed);
      for (let i = 0; i < 20 - 5 * (seed % 3); i++) await Promise.resolve();
      const isFailing = options.failing.includes(seed);
      return {
        ...unanswered(seed, 0),
        checker: isFailing ? "planted" : null,
        failure: isFailing ? "planted: it" : null,
        events: 10,
        virtualMs: 1_000,
        records: 1,
        worstCrashMs: seed,
      };
    },
  };
}

const SEEDS = Array.from({ length: 20 }, (_, i) => i);

Deno.test("hunt: seeds are told in their order, and summed up", async () => {
  const told: number[] = [];
  const { figures, failures } = await hunt(jobs({ failing: [] }), {
    seeds: SEEDS,
    onResult: ({ seed }) => told.push(seed),
  });
  assertEquals(told, SEEDS);
  assertEquals(failures, []);
  assertEquals(figures, {
    seeds: 20,
    failed: 0,
    events: 200,
    virtualMs: 20_000,
    records: 20,
    worstCrashMs: 19,
    worstPartingMs: 0,
  });
});

Deno.test("hunt: of several seeds that fail the first one ends it, though a later one was done before", async () => {
  const begun: number[] = [];
  const told: number[] = [];
  const { figures, failures } = await hunt(jobs({ failing: [6, 7, 8, 15], begun }), {
    seeds: SEEDS,
    onResult: ({ seed }) => told.push(seed),
  });
  assertEquals(failures.map(({ seed }) => seed), [6]);
  assertEquals(told, [0, 1, 2, 3, 4, 5, 6]);
  assertEquals([figures.seeds, figures.failed], [7, 1]);
  assertEquals(begun.includes(15), false);
  // Here the later one is done last.
  const { failures: again } = await hunt(jobs({ failing: [4, 6] }), { seeds: SEEDS });
  assertEquals(again.map(({ seed }) => seed), [4]);
});

Deno.test("hunt: with isAll every failure is told; an abort begins no further seed", async () => {
  const { failures } = await hunt(jobs({ failing: [15, 7, 6] }), { seeds: SEEDS, isAll: true });
  assertEquals(failures.map(({ seed }) => seed), [6, 7, 15]);
  const begun: number[] = [];
  const stop = new AbortController();
  const { figures } = await hunt(jobs({ failing: [], begun }), {
    seeds: SEEDS,
    signal: stop.signal,
    onResult: ({ seed }) => seed === 4 && stop.abort(),
  });
  assertEquals(figures.seeds, begun.length);
  assertEquals(begun.length < 10, true);
});

Deno.test("hunt: a seed that never answers fails, and its thread is replaced", async () => {
  using jobs = new Jobs(1, { seedMsMax: 1 });
  const { figures, failures } = await hunt(jobs, { seeds: [1, 2], isAll: true });
  assertEquals(figures.seeds, 2);
  assertEquals(failures.map(({ seed, failure }) => `${seed} ${failure}`), [
    "1 bounded: no answer within 1 ms",
    "2 bounded: no answer within 1 ms",
  ]);
});

Deno.test("hunt: what the simulator throws is not taken for a result", async () => {
  using jobs = new Jobs(1);
  const simulation = { override: { config: { heartbeat: -1 } } };
  await assertRejects(
    () => hunt(jobs, { seeds: [1], simulation }),
    Error,
    'Cannot use setting "heartbeat"',
  );
});
