// Owns: what is left of a worker's threads and processes while it runs, and when it ended: nothing that burns, nothing that lives.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CliProcess, commandLine } from "../cli/cli_testing.ts";
import { dataUrl } from "../cli/module_server.ts";
import {
  endpointFlags,
  putLines,
  runWorker,
  startStack,
  type WorkerProcess,
} from "../cli/worker_testing.ts";
import { eventually } from "../telemetry/stack.ts";
import { coresUsedBy, descendantsOf, HAS_PROC, isAlive } from "./process_tree.ts";

const WAIT_MAX_MS = 20_000;
const SKIP = `getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 0 })`;

function processTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !HAS_PROC, fn });
}

/** Waits until it has processed some records, and gives the processes below it. */
async function childrenWhenProcessed(
  worker: WorkerProcess,
  records: number,
): Promise<readonly number[]> {
  await worker.untilProcessed(records);
  return descendantsOf(worker.pid);
}

processTest(
  "run --sandbox: after endless loops the records go by their policy, the others go on, and nothing burns",
  async () => {
    await using stack = await startStack(2, ["1", "loop", "2", "wait", "3"]);
    await using worker = runWorker(
      stack,
      dataUrl(`export default { async process(record) {
        if (record.text() === "loop") for (;;);
        await new Promise((done) => setTimeout(done, 1));
        if (record.text() === "wait") for (;;); }, ${SKIP} }`),
      ["--sandbox", "--process-timeout=2s"],
    );
    assertEquals((await childrenWhenProcessed(worker, 5)).length, 1);
    assertEquals(worker.told("record_skipped").length, 2);
    const used = await coresUsedBy(worker.pid, 2_000);
    assert(used < 0.5, `${used} cores are in use`);
    await worker.stop();
  },
);

Deno.test("run --sandbox: what a processor printed before it failed to load is not lost", async () => {
  const code = `console.log("x".repeat(1_000_000)); throw new Error("no settings");`;
  const { command, args } = commandLine();
  const run = ["run", "--app=A", "--stream=S", "--sandbox", "--endpoint-url=http://127.0.0.1:1"];
  await using child = new Deno.Command(command, {
    args: [...args, ...run, `--processor=${dataUrl(code)}`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let bytes = 0;
  for await (const chunk of child.stdout) {
    bytes += chunk.length;
    // A pipe holds a small part of it.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(bytes, 1_000_001);
  assertEquals((await child.status).code, 1);
});

Deno.test("run --sandbox: what is printed is no reason to end the processor when nobody reads it any more", async () => {
  await using stack = await startStack(2, ["1"]);
  const code = `export default { async process(record) {
    console.log("got", record.text());
    await new Promise((done) => setTimeout(done, 500));
    console.error("done", record.text()); } }`;
  await using worker = new CliProcess([
    ...["run", "--app=A", "--stream=S", "--log=pretty", "--sandbox", "--empty-receive-delay=200ms"],
    `--processor=${dataUrl(code)}`,
    ...endpointFlags(stack),
  ]);
  await worker.until(() => worker.stderr.includes("done 1"));
  assertEquals(worker.stdout, ["got 1"]);
  await worker.closeStdout();
  await putLines(stack, ["2"]);
  await worker.until(() => worker.stderr.includes("done 2"));
});

Deno.test("run --sandbox: what is printed and not read holds up neither the records nor the stop", async () => {
  await using stack = await startStack(2, ["1", "2", "3", "4", "5", "6"]);
  const code = `const much = new TextEncoder().encode("x".repeat(99_999) + "\\n");
  export default { process(record) {
    for (let i = 0; i < 10; i++) Deno.stdout.writeSync(much);
    console.error("done", record.text()); } }`;
  const { command, args } = commandLine();
  const child = new Deno.Command(command, {
    args: [
      ...[...args, "run", "--app=A", "--stream=S", "--log=pretty", "--sandbox"],
      `--processor=${dataUrl(code)}`,
      ...endpointFlags(stack),
    ],
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
  let said = "";
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) said += text;
  })();
  await eventually(() => said.match(/^done \d$/gm), (done) => done?.length === 6, WAIT_MAX_MS);
  child.kill("SIGTERM");
  // Not even its end waits for somebody to read.
  assertEquals((await child.status).code, 0);
  await child.stdout.cancel();
  await reading;
});

for (
  const [how, signals] of [
    ["SIGTERM", ["SIGTERM"]],
    ["kill -9", ["SIGKILL"]],
    ["two SIGTERM", ["SIGTERM", "SIGTERM"]],
  ] as const
) {
  processTest(
    `run --sandbox: ${how} leaves no process behind, not even one in an endless loop`,
    async () => {
      await using stack = await startStack(2, ["1", "2", "3"]);
      await using worker = runWorker(
        stack,
        dataUrl(`export default { process() {
        setTimeout(() => { console.log("looping"); for (;;); }, 1_000) } }`),
        ["--sandbox", "--threads=2", "--process-timeout=1h", "--shutdown-timeout=2s"],
      );
      const children = await childrenWhenProcessed(worker, 3);
      assertEquals(children.length, 2);
      await worker.until(() => worker.stderr.includes("looping"));
      for (const signal of signals) worker.kill(signal);
      await worker.ended();
      await eventually(() => children.filter(isAlive), (left) => left.length === 0, WAIT_MAX_MS);
    },
  );
}

processTest(
  "run --sandbox: a signal to all processes at once, as service managers and terminals send it, is a clean stop",
  async () => {
    await using stack = await startStack(2, ["1", "2", "3"]);
    await using worker = runWorker(
      stack,
      dataUrl(`let n = 0;
    export default {
      async process() {
        console.log("begin " + (n += 1));
        await new Promise((done) => setTimeout(done, 1_000));
        console.log("end") } }`),
      ["--sandbox"],
    );
    await worker.until(() => worker.stderr.includes("begin 1"));
    for (const pid of [...descendantsOf(worker.pid), worker.pid]) Deno.kill(pid, "SIGTERM");
    assertEquals(await worker.ended(), 0, worker.stderr.join("\n"));
    const begun = worker.stderr.filter((line) => line.startsWith("begin")).length;
    assertEquals(worker.stderr.filter((line) => line === "end").length, begun);
    assert(begun <= 2, "one in each shard");
  },
);

processTest("run --sandbox: the worker's secrets are not in its process", async () => {
  await using stack = await startStack(2, ["1"]);
  await using worker = runWorker(
    stack,
    dataUrl(`export default { process() { Deno.env.get("API_KEY") } }`),
    ["--sandbox", "--sandbox-allow-env=API_KEY,OTHER"],
    { env: { AWS_SECRET_ACCESS_KEY: "the secret", MY_TOKEN: "secret", API_KEY: "given" } },
  );
  const [child] = await childrenWhenProcessed(worker, 1);
  const environment = (await Deno.readTextFile(`/proc/${child}/environ`)).split("\0");
  assert(environment.includes("API_KEY=given"));
  for (const variable of environment) assert(!variable.includes("secret"), variable);
  await worker.stop();
  assertEquals(worker.told("record_failed"), []);
});

processTest(
  "run --threads: endless loops on all cores end the worker with 1, once the policy has dealt with the record",
  async () => {
    const cores = navigator.hardwareConcurrency;
    await using stack = await startStack(2, ["1", "2", "3"]);
    const processor = dataUrl(`export default {
    process(record) { if (record.text() === "2") for (;;); },
    getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: ${cores} }) }`);
    const flags = ["--threads=1", "--process-timeout=300ms"];
    await using worker = runWorker(stack, processor, flags);
    assertEquals(await worker.ended(), 1);
    assertMatch(worker.stderr.join("\n"), /Cannot go on in this process: \d+ threads/);
    const types = worker.events.map(({ type }) => type);
    assertEquals(types.filter((type) => type === "record_failed").length, cores + 1);
    assert(types.indexOf("record_skipped") < types.indexOf("shard_released"));
    await using next = runWorker(stack, processor, flags);
    await next.untilTold("shard_claimed");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await next.stop();
    assertEquals(next.told("record_failed"), [], "the next one does not meet it again");
  },
);
