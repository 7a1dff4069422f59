// Owns: that the mutants do not rot, and that a few of them die at once. All of them: sabotage.ts.
import { assert } from "@std/assert";
import { MUTANTS } from "./mutants.ts";
import { hunt, mutated } from "./sabotage.ts";

Deno.test("sabotage: the line of each mutant is in the code, once", async () => {
  for (const mutant of MUTANTS) await mutated(mutant);
  const names = new Set(MUTANTS.map(({ name }) => name));
  assert(names.size === MUTANTS.length, "no two mutants have one name");
});

for (
  const name of [
    "no term check: a claim does not expect the term",
    "checkpoint before finish: a record is marked before it is processed",
    "the dead are never found",
  ]
) {
  Deno.test(`sabotage: a checker notices "${name}"`, async () => {
    const mutant = MUTANTS.find((mutant) => mutant.name === name);
    assert(mutant !== undefined);
    const { by } = await hunt(mutant, 10);
    assert(by?.startsWith("seed "), "every seed passed");
  });
}

Deno.test("sabotage: what no seed was there to notice, a directed case does", async () => {
  const name = "nobody asks for shards";
  const mutant = MUTANTS.find((mutant) => mutant.name === name);
  assert(mutant !== undefined);
  const { by } = await hunt(mutant, 0);
  assert(by !== null && !by.startsWith("seed "), "every case passed");
});
