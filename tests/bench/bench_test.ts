// Owns: the command of the benchmarks: what it tells, and that a bound which is missed is not passed over.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { interleave, median, missesOf, ratio } from "../../bench/report.ts";
import { type Area, bench } from "../../bench/run.ts";

const AREAS: Readonly<Record<string, Area>> = {
  slow: ({ rounds }) =>
    Promise.resolve([{
      title: "slow things",
      rows: [{
        name: "snail",
        figures: {
          speed: ratio([1, 9, 2], [1, 3, 1], { atLeast: 2.5 }),
          rounds: { unit: "", values: [rounds] },
        },
      }],
    }]),
  fast: () =>
    Promise.resolve([{
      title: "fast things",
      rows: [{ name: "hare", figures: { took: { unit: "ms", values: [3], atMost: 3 } } }],
    }]),
};

async function run(
  ...args: readonly string[]
): Promise<{ code: number; out: string; err: string }> {
  const told = { out: "", err: "" };
  const code = await bench(args, AREAS, {
    out: (text) => told.out += text,
    progress: (line) => told.err += `${line}\n`,
  });
  return { code, ...told };
}

Deno.test("bench: the median of an odd and of an even number of values", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 3]), 2.5);
  assert(Number.isNaN(median([])));
});

Deno.test("bench: a ratio is of one round, not of two medians", () => {
  assertEquals(ratio([10, 100, 30], [5, 50, 30]).values, [2, 2, 1]);
});

Deno.test("bench: what is compared takes turns", async () => {
  const order: string[] = [];
  const measure = (name: string) => () => Promise.resolve(order.push(name));
  const values = await interleave(2, { a: measure("a"), b: measure("b") });
  assertEquals(order, ["a", "b", "a", "b"]);
  assertEquals(values, { a: [1, 3], b: [2, 4] });
});

Deno.test("bench: what was not measured misses its bound", () => {
  const rows = [{ name: "none", figures: { took: { unit: "ms", values: [], atMost: 400 } } }];
  const [miss] = missesOf([{ title: "startup", rows }]);
  assertEquals(miss?.where, "startup: none: took");
});

Deno.test("bench --check: exits with 1 and names the bound; without it, with 0", async () => {
  const checked = await run("--check");
  assertEquals(checked.code, 1);
  assertStringIncludes(checked.err, "MISSED: slow things: snail: speed: 2.00, must be >= 2.5 x");
  assert(!checked.err.includes("hare"));
  assertEquals((await run()).code, 0);
  assertEquals((await run("--check", "--only", "fast")).code, 0);
});

Deno.test("bench: a table with the range of the rounds, the machine above it", async () => {
  const { out } = await run("--only", "slow");
  assertStringIncludes(out, `Deno ${Deno.version.deno}`);
  assertStringIncludes(out, "2 x (1 to 3), MISSED >= 2.5");
  assert(!out.includes("hare"));
});

Deno.test("bench --json: every round, and what was missed", async () => {
  const { out } = await run("--json", "--quick");
  const { machine, sections, misses } = JSON.parse(out);
  assert(machine.cores.length > 0);
  const { speed, rounds } = sections[0].rows[0].figures;
  assertEquals(speed.values, [1, 3, 2]);
  assertEquals([speed.median, speed.min, speed.max, speed.isMissed], [2, 1, 3, true]);
  assertEquals(rounds.values, [3], "--quick means three rounds");
  assertEquals(misses.length, 1);
});

Deno.test("bench: arguments that mean nothing are refused by name", async () => {
  for (const args of [["--only", "sleep"], ["--often"], ["--rounds", "0"], ["speed"]]) {
    const { code, err } = await run(...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(err, args.at(-1)?.replace("--", "") ?? "");
  }
  const help = await run("--help");
  assertEquals(help.code, 0);
  assertStringIncludes(help.err, "slow, fast");
});
