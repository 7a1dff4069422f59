/**
 * The executable changes its processor over and over while records flow.
 */
import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import type { CliProcess } from "../cli/cli_testing.ts";
import { ModuleServer } from "../cli/module_server.ts";
import { binaryTest, startWorker } from "./binary.ts";
import { startStack } from "../cli/worker_testing.ts";

/** What a version may leave in memory: the runtime forgets no module. A thread that stayed would be 15 MB. */
const RUNS = [
  { flags: [], swaps: 200, warmUp: 50, growthMaxBytes: 700_000 },
  { flags: ["--threads=2"], swaps: 60, warmUp: 20, growthMaxBytes: 1_500_000 },
] as const;
const RECORDS_PER_SWAP = 10;

/** Two modules that say which version they are, and take some time for each record. */
function versioned(version: number): Readonly<Record<string, string>> {
  return {
    "/p.ts": `import { version } from "./version.ts";
      export default { async process(record: { text(): string }): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, 1));
        console.log("seen " + version + " " + record.text()); } };`,
    "/version.ts": `export const version: number = ${version};`,
  };
}

function countOf(worker: CliProcess, type: string): number {
  return worker.stdout.filter((line) => line.includes(`"type":"${type}"`)).length;
}

/** Which versions saw each record. */
function seenBy(worker: CliProcess): readonly (readonly [version: number, record: number])[] {
  return worker.stderr.filter((line) => line.startsWith("seen ")).map((line) => {
    const [, version, record] = line.split(" ").map(Number);
    return [version ?? NaN, record ?? NaN];
  });
}

/** Puts records; those that are too many for one second again, later. */
async function put(endpoint: string, from: number, count: number): Promise<void> {
  let records = Array.from({ length: count }, (_, i) => ({
    PartitionKey: `key ${i}`,
    Data: btoa(String(from + i)),
  }));
  while (records.length > 0) {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "Kinesis_20131202.PutRecords",
        authorization: "AWS4-HMAC-SHA256 Credential=local",
      },
      body: JSON.stringify({ StreamName: "S", Records: records }),
    });
    const { Records } = await response.json();
    records = records.filter((_, i) => Records[i].ErrorCode !== undefined);
    if (records.length > 0) await delay(50);
  }
}

/** What a process occupies, in bytes; undefined where there is no way to know. */
async function residentBytes(pid: number): Promise<number | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

for (const { flags, swaps, warmUp, growthMaxBytes } of RUNS) {
  const name = [swaps, "swaps in a row", ...flags].join(" ");
  binaryTest(
    `${name}: no record is lost or processed twice, and memory is bounded`,
    async (binary) => {
      await using stack = await startStack(2);
      await using server = new ModuleServer(versioned(0));
      await using worker = startWorker({
        stack,
        processor: server.url("/p.ts"),
        program: { command: binary, args: [] },
        flags: ["--watch-processor=1h", ...flags],
      });
      await worker.until(() => countOf(worker, "processor_loaded") === 1);
      let warm: number | undefined;
      for (let swap = 1; swap <= swaps; swap++) {
        await put(stack.kinesisEndpoint, (swap - 1) * RECORDS_PER_SWAP, RECORDS_PER_SWAP);
        for (const [path, source] of Object.entries(versioned(swap))) server.set(path, source);
        worker.kill("SIGHUP");
        await worker.until(() => countOf(worker, "processor_loaded") === swap + 1);
        if (swap === warmUp) warm = await residentBytes(worker.pid);
      }
      const all = swaps * RECORDS_PER_SWAP;
      await worker.until(() => seenBy(worker).length >= all);
      const end = await residentBytes(worker.pid);
      worker.kill("SIGTERM");
      assertEquals(await worker.ended(), 0, worker.stderr.slice(-20).join("\n"));
      const seen = seenBy(worker);
      const records = seen.map(([, record]) => record).sort((a, b) => a - b);
      assertEquals(records, Array.from({ length: all }, (_, n) => n));
      const versions = new Set(seen.map(([version]) => version)).size;
      const growth = warm === undefined || end === undefined ? 0 : (end - warm) / (swaps - warmUp);
      // deno-lint-ignore no-console -- the figures are what people run it for
      console.log(
        `${name}: ${all} records, each once, by ${versions} versions; ${
          Math.round(growth / 1_024)
        } kB ` +
          `of resident memory for each swap, ${Math.round((end ?? 0) / 1_048_576)} MB in the end`,
      );
      assert(versions > swaps / 10, `${versions} versions got records`);
      assert(growth < growthMaxBytes, `${Math.round(growth)} bytes for each swap`);
    },
  );
}
