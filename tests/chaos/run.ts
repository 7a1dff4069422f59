// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: runs one after the other, each with a seed of its own, until the time is up or one fails.
 * Called by: `deno task chaos [--minutes M] [--seed S]`, `deno task chaos --sink [--records N] [--plain]`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { Arena, type Figures, type Traces } from "./arena.ts";
import { BrokenPromise } from "./books.ts";
import { playSink } from "./exactly_once.ts";

/** The stream has more shards after each round; a new one now and then keeps the last run like the first. */
const ROUNDS_MAX = 6;

/** Plays rounds of a seed until the time is up, at least one. The error of a failure tells the seed and the story. */
export async function play(seed: number, options: { readonly forMs: number }): Promise<Figures> {
  const startedAt = performance.now();
  const arena = await Arena.open(seed);
  try {
    await using _ = arena;
    await arena.start();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (round > 0 && performance.now() - startedAt > options.forMs) break;
      await arena.round(round);
    }
    await arena.finish();
  } catch (error) {
    throw new Error(
      `${arena.story()}\n\nSeed ${seed} fails: ${error}\n` +
        `The same actions again: deno task chaos --seed ${seed}`,
      { cause: error },
    );
  }
  await checkGone(arena.traces());
  return arena.figures;
}

/** Makes sure that nothing is left of a run. */
async function checkGone({ pids, urls, file }: Traces): Promise<void> {
  const left: string[] = [];
  for (
    const path of [
      file,
      ...Deno.build.os === "linux" ? pids.map((pid) => `/proc/${pid}`) : [],
    ]
  ) {
    await Deno.stat(path).then(() => left.push(path), () => {}); // It is gone, as it should be.
  }
  for (const url of urls) {
    const port = Number(new URL(url).port);
    await Deno.connect({ hostname: "127.0.0.1", port }).then((connection) => {
      connection.close();
      left.push(url);
    }, () => {}); // Nobody listens, as it should be.
  }
  if (left.length > 0) throw new BrokenPromise("nothing is left", left.join(", "));
}

/** A sink whose workers are killed all the time. `plain` shows that the same kills would leave duplicates. */
async function sink(records: number, mode: "transaction" | "plain"): Promise<number> {
  const figures = await playSink({ records, mode, within: 60_000 + records * 20 });
  const { once, more, lost, invented, kills, seconds } = figures;
  console.log(
    `${records} records, ${kills} kills in ${Math.round(seconds)} s: ${once} in the sink once, ` +
      `${lost} lost, ${more} more than once, ${invented} invented`,
  );
  return once === records && invented === 0 ? 0 : 1;
}

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], {
    string: ["seed", "minutes", "records"],
    boolean: ["sink", "plain"],
  });
  if (flags.sink) {
    return await sink(Number(flags.records ?? 100_000), flags.plain ? "plain" : "transaction");
  }
  const startedAt = performance.now();
  const untilMs = startedAt + Number(flags.minutes ?? 5) * 60_000;
  let seed = Number(flags.seed ?? Math.floor(Math.random() * 1_000_000));
  for (let left; (left = untilMs - performance.now()) > 0; seed++) {
    console.log(`seed ${seed}`);
    try {
      const { rounds, put, repeated, claims, slowestCalmMs } = await play(seed, { forMs: left });
      console.log(
        `  ${rounds} rounds, ${put} records, ${repeated} processed again, ${claims} claims, ` +
          `calm at the latest ${Math.round(slowestCalmMs)} ms after the faults`,
      );
    } catch (error) {
      console.log(error instanceof Error ? error.message : error);
      return 1;
    }
  }
  console.log(`${Math.round((performance.now() - startedAt) / 60_000)} minutes, nothing broken`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
