// Owns: `kinesix run --sandbox` and `--threads` as users meet them: a process of its own, on the local stack.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CliProcess, sourceProgram } from "../cli/cli_testing.ts";
import { dataUrl } from "../cli/module_server.ts";
import { runWorker, startStack } from "../cli/worker_testing.ts";

Deno.test("run --sandbox: the processor cannot read the environment; what it prints and what nobody waits for is told", async () => {
  await using stack = await startStack(2, ["1", "2", "3"]);
  await using worker = runWorker(
    stack,
    dataUrl(`export default {
      process(record) {
        console.log("got", record.text());
        console.table([{ a: 1 }]);
        if (record.text() === "1") Promise.reject(new RangeError("late"));
        if (record.text() === "2") Deno.env.get("HOME") },
      getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 0 }) }`),
    ["--sandbox"],
  );
  await worker.untilProcessed(3);
  await worker.untilTold("processor_failed");
  await worker.stop();
  const [failed] = worker.told("record_failed");
  assertMatch(failed?.error?.message ?? "", /env access to "HOME"/);
  const [stray] = worker.told("processor_failed");
  assertEquals([stray?.operation, stray?.error.name], ["background", "RangeError"]);
  for (const text of ["got 1", "got 2", "got 3"]) {
    assertStringIncludes(worker.stderr.join("\n"), text);
  }
});

Deno.test("run --sandbox: a file is not read by importing it", async () => {
  await using stack = await startStack(2, ["1", "2", "3"]);
  const secret = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(secret, `"the secret"`);
  await using worker = runWorker(
    stack,
    dataUrl(
      `const options = { 1: {}, 2: { with: { type: "json" } }, 3: { with: { type: "text" } } };
    export default {
      async process(record) {
        const url = ["file:", "", ${JSON.stringify(secret)}].join("/");
        throw new Error((await import(url, options[record.text()])).default) },
      getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 0 }) }`,
    ),
    ["--sandbox"],
  );
  try {
    await worker.untilProcessed(3);
    await worker.stop();
    assertEquals(worker.stdout.filter((line) => line.includes("the secret")), []);
    const failed = worker.told("record_failed");
    for (const { error } of failed) assertMatch(error?.message ?? "", /cannot import|refused/);
    assertEquals(failed.length, 3);
  } finally {
    await Deno.remove(secret);
  }
});

Deno.test("run --sandbox: SIGTERM ends a worker whose processor is in an endless loop", async () => {
  await using stack = await startStack(2, ["1"]);
  await using worker = runWorker(
    stack,
    dataUrl(`export default { process() { console.log("looping"); for (;;); } }`),
    ["--sandbox", "--process-timeout=0ms", "--shutdown-timeout=2s"],
  );
  await worker.until(() => worker.stderr.includes("looping"));
  const startedAt = Date.now();
  worker.kill("SIGTERM");
  await worker.ended();
  assert(Date.now() - startedAt < 10_000, `${Date.now() - startedAt} ms`);
});

Deno.test("run --threads 2: all is processed, and the exit code is 0", async () => {
  const lines = Array.from({ length: 300 }, (_, i) => String(i));
  await using stack = await startStack(2, lines);
  await using worker = runWorker(
    stack,
    dataUrl(`export default { process(record) { console.log("got " + record.text()) } }`),
    ["--threads=2"],
  );
  await worker.untilProcessed(300);
  await worker.stop();
  const got = worker.stderr.filter((line) => line.startsWith("got ")).map((line) => line.slice(4));
  assertEquals(got.toSorted((a, b) => Number(a) - Number(b)), lines);
});

Deno.test("run --sandbox: flags that contradict each other, and what the process itself may not do", async () => {
  await using stack = await startStack(1);
  const module = dataUrl(`export default { process() {} }`);
  for (
    const [flags, message] of [
      [["--sandbox-allow-net=example.com"], /Cannot use --sandbox-allow-net without --sandbox/],
      [["--threads=0"], /--threads "0": it must be a whole number from 1 to 64/],
      [["--threads=2", "--checkpoint-mode=manual"], /--threads 2 with --checkpoint-mode manual/],
    ] as const
  ) {
    await using worker = runWorker(stack, module, flags);
    assertEquals(await worker.ended(), 2);
    assertMatch(worker.stderr.join("\n"), message);
  }
});

Deno.test("run --sandbox: what the process may not do itself it cannot allow", async () => {
  await using stack = await startStack(1);
  const permissions = ["--no-prompt", "--allow-net=127.0.0.1", "--allow-env", "--allow-read"];
  await using worker = new CliProcess([
    "run",
    "--app=A",
    "--stream=S",
    `--processor=${dataUrl("export default { process() {} }")}`,
    `--endpoint-url=${stack.kinesisEndpoint}`,
    "--sandbox",
    "--sandbox-allow-net=example.com",
  ], { program: sourceProgram(permissions) });
  assertEquals(await worker.ended(), 1);
  assertMatch(
    worker.stderr.join("\n"),
    /Cannot start the processes of the sandbox: .* no net access to "example.com"; it must be allowed itself/,
  );
});
