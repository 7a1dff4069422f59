/**
 * The sandbox of the executable: T15 of the loader.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ModuleServer } from "../cli/module_server.ts";
import { putLines, startStack } from "../cli/worker_testing.ts";
import { coresUsedBy, descendantsOf, HAS_PROC, isAlive } from "../sandbox/process_tree.ts";
import { binaryTest, startWorker } from "./binary.ts";

const PROCESSOR = `
import { outcome } from "./outcome.ts";
const show = (what: unknown): void => console.log("seen " + JSON.stringify(what));
  export default {
  async process(record: { text(): string }): Promise<void> {
    switch (record.text()) {
      case "tries":
        return show([
          await outcome(() => Deno.env.get("HOME")),
          await outcome(() => Deno.readTextFileSync("/etc/passwd")),
          await outcome(() => Deno.writeTextFileSync("/tmp/x", "")),
          await outcome(() => new Deno.Command("/proc/self/exe").outputSync()),
          await outcome(() => fetch("http://127.0.0.1:1")),
          await outcome(() => Deno.hostname()),
        ]);
      case "file": { const url = "file:///etc/" + "x.json"; await import(url, { with: { type: "json" } }); return; }
      case "exit": return Deno.exit(0);
      case "thread": new Worker("data:text/javascript,", { type: "module" }); return;
      case "late": {
        setTimeout(() => { throw new Error("too late"); });
        return new Promise((resolve) => setTimeout(resolve, 50));
      }
      case "loop": for (;;);
      case "last": return show("last");
    }
  },
  getErrorHandlingMode(record: { text(): string }, error: Error) {
    show(record.text() + ": " + error.message);
    return { kind: "retryAndSkip", retries: 0 };
  },
};`;

const OUTCOME = `
  export async function outcome(f: () => unknown): Promise<string> {
  try { await f(); return "allowed"; } catch (error) { return (error as Error).name; }
}`;

binaryTest(
  "T15: a sandboxed processor reaches nothing, and ends neither the process nor the work",
  async (binary) => {
    const program = { command: binary, args: [] };
    await using stack = await startStack(1);
    const lines = ["tries", "file", "exit", "thread", "late", "loop", "last"];
    // One by one, so that they come in this order.
    for (const line of lines) await putLines(stack, [line], { program, clearEnv: true });
    await using server = new ModuleServer({ "/p.ts": PROCESSOR, "/outcome.ts": OUTCOME });
    await using worker = startWorker({
      stack,
      processor: server.url("/p.ts"),
      program,
      flags: ["--sandbox", "--process-timeout=500ms"],
      env: { HOME: "/secret" },
    });
    const seen = () => worker.stderr.filter((line) => line.startsWith("seen "));
    await worker.until(() => seen().includes('seen "last"'));
    if (HAS_PROC) {
      const used = await coresUsedBy(worker.pid, 2_000);
      assert(used < 0.5, `the loop goes on: ${used} cores are in use`);
    }
    const children = HAS_PROC ? descendantsOf(worker.pid) : [];
    await worker.stop();
    assertEquals(children.filter(isAlive), [], "nothing is left of it");
    const [tries = "", ...others] = seen().map((line) => line.slice(5));
    assertEquals(JSON.parse(tries), Array(6).fill("NotCapable"));
    const said = others.join("\n");
    for (const line of ["file", "exit", "thread", "loop"]) {
      assertMatch(
        said,
        new RegExp(`"${line}: `),
      );
    }
    assert(worker.stdout.some((line) => line.includes("too late")), "what fails late is told");
  },
);
