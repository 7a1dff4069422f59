// Owns: every benchmark still runs, and measures something. With so little work the figures mean nothing.
import { assert } from "@std/assert";
import { AREAS } from "../../bench/run.ts";

for (const [name, area] of Object.entries(AREAS)) {
  Deno.test(`bench: ${name}`, async () => {
    const sections = await area({ rounds: 1, scale: "tiny", say: () => {} });
    const figures = sections.flatMap(({ rows }) => rows)
      .flatMap(({ name, figures }) => Object.entries(figures).map((figure) => [name, ...figure]));
    assert(figures.length > 0);
    for (const [row, column, figure] of figures) {
      const { values } = figure as { values: readonly number[] };
      // The executable may not be there.
      const isMeasured = values.length > 0 || String(row).startsWith("executable");
      assert(isMeasured, `${row}, ${column} is not measured`);
      assert(values.every((value) => Number.isFinite(value)), `${row}, ${column}: ${values}`);
    }
  });
}
