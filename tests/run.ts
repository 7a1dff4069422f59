/**
 * Owns: the test run: everything, and a last line that any tool can count.
 * Called by: `deno task test`. Arguments are passed on to `deno test`.
 */

const report = await Deno.makeTempFile({ prefix: "kinesix-tests-", suffix: ".xml" });
try {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--doc", "--trace-leaks", `--junit-path=${report}`, ...Deno.args],
    // No test may find real credentials, or ask the network who this machine is.
    env: { AWS_EC2_METADATA_DISABLED: "true", AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
  }).spawn().status;
  const [, tests = "0", failures = "0", errors = "0"] =
    /<testsuites [^>]*tests="(\d+)" failures="(\d+)" errors="(\d+)"/.exec(
      await Deno.readTextFile(report),
    ) ?? [];
  const failed = Number(failures) + Number(errors);
  const line = `${Number(tests) - failed} passed, ${failed} failed\n`;
  await Deno.stdout.write(new TextEncoder().encode(line));
  Deno.exitCode = code;
} finally {
  await Deno.remove(report);
}
