// Owns: what follows when the terminal of a worker is closed: a clean stop; with `nohup`, nothing.
import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { descendantsOf, HAS_PROC, isAlive } from "../sandbox/process_tree.ts";
import { commandLine, works } from "./cli_testing.ts";
import { eventually } from "../telemetry/stack.ts";
import { endpointFlags, startStack } from "./worker_testing.ts";

const WAIT_MAX_MS = 20_000;
const MODULE = "data:text/javascript,export default { process() {} }";

const isPossible = HAS_PROC && works("script", "-qefc", "true", "/dev/null");

/** Runs a worker on a terminal, closes that, and gives what the worker logged and whether it lives. */
async function hangUp(
  prefix: string,
): Promise<{ readonly log: string; readonly isAlive: boolean }> {
  await using stack = await startStack(1);
  const path = await Deno.makeTempFile();
  const { command, args } = commandLine();
  const flags = [
    ...["run", "--app=A", "--stream=S", "--log=json", "--heartbeat=500ms"],
    ...[`--processor=${MODULE}`, ...endpointFlags(stack)],
  ];
  const quoted = [command, ...args, ...flags].map((word) => `'${word}'`).join(" ");
  const terminal = new Deno.Command("script", {
    args: ["-qefc", `${prefix} ${quoted} > '${path}'`, "/dev/null"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const log = (): string => Deno.readTextFileSync(path);
  let worker: number | undefined;
  try {
    await eventually(log, (text) => text.includes('"shard_claimed"'), WAIT_MAX_MS);
    worker = descendantsOf(terminal.pid).at(-1);
    assert(worker !== undefined);
    terminal.kill("SIGKILL");
    await terminal.status;
    // More than enough to stop in.
    for (const end = Date.now() + 5_000; isAlive(worker) && Date.now() < end;) await delay(50);
    return { log: log(), isAlive: isAlive(worker) };
  } finally {
    if (worker !== undefined && isAlive(worker)) {
      Deno.kill(worker, "SIGKILL");
      const last = worker;
      await eventually(() => isAlive(last), (isLeft) => !isLeft, WAIT_MAX_MS);
    }
    await Deno.remove(path);
  }
}

Deno.test({
  name: "run: when its terminal is closed, a worker gives its shards away and stops",
  ignore: !isPossible,
  async fn() {
    const { log, isAlive } = await hangUp("");
    for (const type of ["shard_released", "worker_stopped"]) assert(log.includes(type), log);
    assert(!isAlive);
  },
});

Deno.test({
  name: "run: with nohup a worker goes on when its terminal is closed",
  ignore: !isPossible,
  async fn() {
    const { log, isAlive } = await hangUp("nohup");
    assert(isAlive, log);
    assertEquals(log.includes("shard_released"), false);
  },
});
