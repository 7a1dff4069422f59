/**
 * Owns: the test run: everything, and a last line that any tool can count.
 * Called by: `deno task test`. Arguments are passed on to `deno test`.
 */

/** Threads with endless loops go on until their process ends, and slow down whatever comes after: they come last. */
const LAST = "tests/sandbox";

/** Runs tests; returns how many there were, how many failed, and the exit code. */
async function run(
  args: readonly string[],
): Promise<{ tests: number; failed: number; code: number }> {
  const report = await Deno.makeTempFile({ prefix: "kinesix-tests-", suffix: ".xml" });
  try {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--allow-all", "--trace-leaks", `--junit-path=${report}`, ...args],
      // No test may find real credentials, or ask the network who this machine is.
      env: { AWS_EC2_METADATA_DISABLED: "true", AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
    }).spawn().status;
    const [, tests = "0", failures = "0", errors = "0"] =
      /<testsuites [^>]*tests="(\d+)" failures="(\d+)" errors="(\d+)"/.exec(
        await Deno.readTextFile(report),
      ) ?? [];
    return { tests: Number(tests), failed: Number(failures) + Number(errors), code };
  } finally {
    await Deno.remove(report);
  }
}

const runs = Deno.args.length > 0
  ? [await run(["--doc", ...Deno.args])]
  : [await run(["--doc", `--ignore=${LAST}`]), await run([LAST])];
const tests = runs.reduce((sum, { tests }) => sum + tests, 0);
const failed = runs.reduce((sum, { failed }) => sum + failed, 0);
const line = `${tests - failed} passed, ${failed} failed\n`;
await Deno.stdout.write(new TextEncoder().encode(line));
Deno.exitCode = runs.find(({ code }) => code !== 0)?.code ?? 0;
