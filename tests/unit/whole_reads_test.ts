// Owns: whose reads may come in parts: those of a processor whose time depends on the number of records, and on nothing else.
import { assertEquals } from "@std/assert";
import type { ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import { dynamoSink } from "../../src/sink/dynamo_sink.ts";
import { batch, running } from "./runner_testing.ts";

const PROCESSORS: Readonly<Record<string, [isCut: boolean, processor: ProcessorSource]>> = {
  "one by one": [true, { process: () => {} }],
  "one by one, made by a factory": [true, () => ({ process: () => {} })],
  "batches": [false, { processBatch: () => {} }],
  // Were it cut, a table that takes longer than a part for a transaction would get a few records with each.
  "transactions": [false, dynamoSink({ items: () => [] })],
};

for (const [name, [isCut, source]] of Object.entries(PROCESSORS)) {
  Deno.test(`parts: a processor of ${name} gets reads ${isCut ? "in parts" : "whole"}`, async () => {
    const { runner } = await running(source);
    assertEquals(runner.budget.mayComeInParts, isCut);
    await runner.run(batch(1, 3));
    assertEquals(runner.budget.mayComeInParts, isCut);
    await runner.close();
  });
}

Deno.test("parts: of what a factory has not made yet nobody knows, and a few records hurt less than too many", async () => {
  const { runner } = await running(() => ({ processBatch: () => {} }));
  assertEquals(runner.budget.mayComeInParts, true);
  await runner.run(batch(1, 3));
  assertEquals(runner.budget.mayComeInParts, false);
  await runner.close();
});

Deno.test("parts: a processor of batches that takes the place of another one gets reads whole", async () => {
  const { runner, processors } = await running({ process: () => {} });
  await runner.run(batch(1, 3));
  const batches: RecordProcessor = { processBatch: () => {} };
  processors.change(batches);
  await runner.run(batch(4, 6));
  assertEquals(runner.budget.mayComeInParts, false);
  await runner.close();
});
