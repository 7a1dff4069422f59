// A command that has to wait says what for, and Ctrl-C ends it, with a word about what it ended.
import { assertEquals, assertMatch } from "@std/assert";
import { main } from "../../src/cli/main.ts";
import { patiently } from "../../src/cli/patience.ts";
import type { Values } from "../../src/cli/values.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { startStack } from "./worker_testing.ts";

/** A service that takes every connection, and never answers. */
class Silent implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections: Deno.Conn[] = [];
  readonly #called = Promise.withResolvers<void>();

  constructor() {
    void this.#accept();
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  /** Resolves at the first call. */
  get called(): Promise<void> {
    return this.#called.promise;
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#connections.push(connection);
      this.#called.resolve();
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    this.#connections.forEach((connection) => connection.close());
  }
}

const NOTHING_GIVEN = { text: () => undefined } as Partial<Values> as Values;

Deno.test("what is waited for is said once, with its place, and not if it comes soon", async () => {
  const local = fakeTerminal({ env: { AWS_ENDPOINT_URL_DYNAMODB: "http://127.0.0.1:1" } });
  const come = Promise.withResolvers<string>();
  const say = local.say;
  const wait = {
    values: NOTHING_GIVEN,
    services: ["kinesis", "dynamodb"],
    patienceMs: 10,
  } as const;
  const told = (line: string): void => {
    say(line);
    come.resolve("it");
  };
  const terminal = { ...local, say: told };
  assertEquals(await patiently(come.promise, { ...wait, terminal }), "it");
  assertEquals(
    local.stderr(),
    "note: still waiting for Kinesis in AWS and DynamoDB at http://127.0.0.1:1\n",
  );

  const soon = fakeTerminal({ env: { AWS_REGION: "eu-west-1" } });
  await patiently(Promise.resolve(), { ...wait, terminal: soon, patienceMs: 1_000 });
  assertEquals(soon.stderr(), "");
});

Deno.test("Ctrl-C ends a command whose service is silent, and says what it ended", async (t) => {
  const commands = [["shard", "stop", "1"], ["doctor"], ["checkpoint", "set", "1", "latest"]];
  for (const command of commands) {
    await t.step(command.join(" "), async () => {
      using silent = new Silent();
      const where = ["--app=A", "--stream=S", `--endpoint-url=${silent.url}`];
      await using cli = new CliProcess([...command, ...where], { env: { KINESIX_DEBUG: "" } });
      await silent.called;
      const before = performance.now();
      cli.kill("SIGINT");
      assertEquals(await cli.ended(), 1);
      // A call that is given up by itself takes ten seconds.
      assertEquals(performance.now() - before < 8_000, true);
      assertMatch(
        cli.stderr.join("\n"),
        /^error: Cannot (finish (shard stop|doctor)|go on): stopped by SIGINT/m,
      );
    });
  }
});

Deno.test("put tells a person who types what becomes of it, and counts nothing into the line", async () => {
  await using stack = await startStack(1);
  const terminal = fakeTerminal({ isInteractive: true, stdin: [["typed"]] });
  const args = ["put", "--stream=S", `--endpoint-url=${stack.kinesisEndpoint}`];
  assertEquals(await main(args, terminal), 0);
  assertMatch(terminal.stderr(), /^note: each line that you type becomes a record; Ctrl-D ends$/m);
  assertMatch(terminal.stdout(), /^put 1 record into stream S/);
});
