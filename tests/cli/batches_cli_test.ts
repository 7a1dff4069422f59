// Owns: batches and filters as users meet them: `kinesix run` as a process of its own, on a local stack; the executable where there is one.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CliProcess } from "./cli_testing.ts";
import { dataUrl } from "./module_server.ts";
import { runWorker, startStack } from "./worker_testing.ts";

const PROCESSOR = dataUrl(`export default {
  processBatch(records, { attempt }) {
    console.log("BATCH " + records.map((record) => record.json().n).sort() + " #" + attempt);
    return { failed: records.filter((record) => record.json().n === 5 && attempt < 2) };
  } }`);

Deno.test("kinesix run: a pattern chooses, a window collects, and only what failed is tried again", async () => {
  const lines = [1, 2, 3, 4, 5, 6].map((n) =>
    JSON.stringify({ n, type: n % 2 === 1 ? "order" : "other" })
  );
  await using stack = await startStack(1, lines);
  await using worker = runWorker(stack, PROCESSOR, [
    ...["--empty-receive-delay=200ms", "--batch-window=300ms", "--batch-size=3"],
    ...["--bisect-batch-on-error=true", "--max-record-age=1h"],
    '--filter={"data":{"type":["order"]}}',
  ]);
  const isDone = (lines: readonly string[]): boolean =>
    lines.some((line) => line.includes('"batch_processed"') && line.includes('"records":3'));
  await worker.until(isDone);
  await worker.stop();
  const batches = worker.stderr.filter((line) => line.startsWith("BATCH"));
  assertEquals(batches, ["BATCH 1,3,5 #1", "BATCH 5 #2"]);
  const done = worker.stdout.find((line) => line.includes('"records":3')) ?? "";
  assertStringIncludes(done, '"filtered":3');
});

Deno.test("kinesix run: a pattern that is none is refused before anything else is done", async () => {
  await using worker = new CliProcess([
    ...["run", "--app=A", "--stream=S", "--processor=./none.ts", '--filter={"data":"order"}'],
  ]);
  assertEquals(await worker.ended(), 2);
  const [first = ""] = worker.stderr;
  assert(first.includes("Cannot use --filter: the pattern.data: it must be a list"), first);
});
