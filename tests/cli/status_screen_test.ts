// Owns: the live table of kinesix status --watch: what comes first, what fits, what it knows from two looks, and the terminal.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Ansis } from "ansis";
import { Looks, nextOrder, screenLines, type ShardOrder } from "../../src/cli/status_screen.ts";
import type { ClusterStatus, ShardStatus, WorkerStatus } from "../../src/core/status.ts";
import { CliProcess, commandLine } from "./cli_testing.ts";
import { startStack } from "./worker_testing.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const iso = (ms: number): string => new Date(ms).toISOString();

function shard(number: number, fields: Partial<ShardStatus> = {}): ShardStatus {
  return {
    shardId: `shardId-${String(number).padStart(12, "0")}`,
    state: "processing",
    owner: "w1",
    term: 1,
    checkpoint: "TRIM_HORIZON",
    checkpointAt: iso(NOW),
    millisBehindLatest: 0,
    stoppedAt: null,
    handoverTo: null,
    parents: [],
    ...fields,
  };
}

function worker(workerId: string, fields: Partial<WorkerStatus> = {}): WorkerStatus {
  const version = "1";
  return { workerId, alive: true, shards: 1, lastHeartbeatAt: iso(NOW), version, ...fields };
}

function linesOf(
  looks: Looks,
  options: { rows?: number; columns?: number; order?: ShardOrder; problem?: string } = {},
): readonly string[] {
  const { rows = 24, columns = 100, order = "worst", problem } = options;
  const paint = new Ansis(0);
  const names = { appName: "A", streamName: "S" };
  return screenLines(looks, { ...names, rows, columns, order, paint, problem });
}

function looksOf(...looks: readonly ClusterStatus[]): Looks {
  const all = new Looks();
  looks.forEach((look, i) => all.add(look, NOW + i * 2_000));
  return all;
}

/** The shards in the order in which they are shown, by their numbers. */
function shownShards(lines: readonly string[]): readonly number[] {
  const head = lines.findIndex((line) => line.startsWith("SHARD "));
  return lines.slice(head + 1, -1).map((line) => Number(line.split(" ")[0]));
}

Deno.test("status screen: of 1,000 shards the worst come first, and the rest is counted, in any window", () => {
  const shards = Array.from({ length: 1_000 }, (_, i) => shard(i, { millisBehindLatest: i }));
  shards[500] = shard(500, { state: "unowned", owner: null });
  shards[501] = shard(501, { state: "stopped", owner: null });
  shards[999] = shard(999, { state: "closed", millisBehindLatest: 999_999 });
  const workers = Array.from({ length: 50 }, (_, i) => worker(`w${i}`, { alive: i !== 40 }));
  const looks = looksOf({ workers, shards });
  for (const rows of [8, 12, 24, 60]) {
    for (const columns of [20, 80, 200]) {
      const lines = linesOf(looks, { rows, columns });
      assert(lines.length <= rows, `${lines.length} lines in ${rows} rows`);
      assert(lines.every((line) => line.length <= columns), `in ${columns} columns`);
    }
  }
  const lines = linesOf(looks);
  const text = lines.join("\n");
  assertEquals(shownShards(lines).slice(0, 4), [500, 501, 998, 997]);
  assertMatch(
    lines[0] ?? "",
    /^A on stream S {2}49 of 50 workers alive, 1,000 shards, at most 1.0s/,
  );
  assertMatch(text, /1 without owner, 1 stopped, 997 processing, 1 closed/);
  assertMatch(text, /^w40 +no /m);
  assertMatch(text, new RegExp(`^${1_000 - shownShards(lines).length} more shards not shown`, "m"));
});

Deno.test("status screen: the pace, and when a shard has caught up, come from the checkpoints of two looks", () => {
  const look = (at: number, behind: number): ClusterStatus => ({
    workers: [],
    shards: [shard(0, { checkpointAt: iso(NOW + at), millisBehindLatest: behind })],
  });
  const row = (looks: Looks): string => linesOf(looks).find((line) => line.startsWith("0 ")) ?? "";
  assertMatch(row(looksOf(look(0, 100_000))), /100.0s +- +- /);
  // Ten seconds of the stream in two seconds: 5x, and 92 s of lead to make up for at 4 s a second.
  assertMatch(row(looksOf(look(0, 100_000), look(2_000, 92_000))), /92.0s +5.0x +in 23.0s /);
  assertMatch(row(looksOf(look(0, 50_000), look(2_000, 51_000))), /51.0s +0.5x +never /);
  assertMatch(row(looksOf(look(0, 0), look(2_000, 0))), /0.0s +1.0x +yes /);
  assertMatch(row(looksOf(look(0, 0), look(0, 0))), /0.0s +- +yes /);
});

Deno.test("status screen: shards that move are shown with both owners, and can be sorted first", () => {
  const shards = [shard(0), shard(1), shard(2, { handoverTo: "w2", state: "handingOver" })];
  const moved = [shard(0), shard(1, { owner: "w2", term: 3 }), shards[2] ?? shard(2)];
  const looks = looksOf({ workers: [], shards }, { workers: [], shards: moved });
  const text = linesOf(looks).join("\n");
  assertMatch(text, /^1 .* w2 ← w1 *$/m);
  assertMatch(text, /^2 +handing over .* w1 → w2 *$/m);
  assertEquals(shownShards(linesOf(looks, { order: "moved" })), [1, 2, 0]);
  for (let i = 0; i < 10; i++) looks.add({ workers: [], shards: moved }, NOW + 4_000 + i * 2_000);
  assert(!linesOf(looks).join("\n").includes("←"), "a while ago is not now");
  assertEquals(shownShards(linesOf(looks, { order: "shard" })), [0, 1, 2]);
  let order: ShardOrder = "worst";
  for (let i = 0; i < 5; i++) order = nextOrder(order);
  assertEquals(order, "worst");
});

Deno.test("status screen: names from outside move no cursor, and a look that failed is told below", () => {
  const looks = looksOf({ workers: [worker("\x1b[2Jevil\n")], shards: [] });
  const lines = linesOf(looks, { problem: "no network\nat all" });
  assert(lines.every((line) => !line.includes("\x1b") && !line.includes("\n")));
  assertStringIncludes(lines.at(-1) ?? "", "Cannot look: no network at all");
});

/** Whether there is a program that gives another one a terminal. */
function hasScript(): boolean {
  try {
    const args = ["-qec", "true", "/dev/null"];
    return new Deno.Command("script", { args, stdin: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";

Deno.test({
  name:
    "status --watch: on a terminal it draws in place, sorts and quits at keys, and gives the terminal back",
  ignore: !hasScript(),
  fn: async () => {
    await using stack = await startStack(3);
    await using run = new CliProcess([
      ...["run", "--app=A", "--stream=S", "--worker-id=w1", "--log=json", "--heartbeat=300ms"],
      ...["--heartbeat-timeout=3s", `--kinesis-endpoint=${stack.kinesisEndpoint}`],
      "--processor=data:text/javascript,export default { process() {} };",
      `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`,
    ]);
    await run.until((lines) => lines.filter((line) => line.includes("shard_claimed")).length === 3);
    const where = `--app=A --stream=S --dynamodb-endpoint=${stack.dynamoDBEndpoint}`;
    const { command, args } = commandLine();
    for (const end of ["q", "\x03", "SIGTERM"]) {
      await using watch = new PtyProcess(`${[command, ...args].join(" ")} status --watch ${where}`);
      await watch.until("SHARD");
      await watch.until("by worst");
      await watch.type("s");
      await watch.until("by behind");
      if (end === "SIGTERM") await watch.signalInside();
      else await watch.type(end);
      assertEquals(await watch.ended(), 0);
      const text = watch.output;
      assertStringIncludes(text, "\x1b[?1049h\x1b[?25l\x1b[?7l");
      assertMatch(text, /3 processing/);
      assert(text.endsWith(LEAVE), `the terminal is as it was: ${JSON.stringify(text.slice(-80))}`);
      assertEquals(text.split("\x1b[?1049h").length, 2);
    }
    const missing = where.replace("--app=A", "--app=B");
    await using broken = new PtyProcess(
      `${[command, ...args].join(" ")} status --watch ${missing}`,
    );
    assertEquals(await broken.ended(), 1);
    assert(!broken.output.includes("\x1b[?1049h"), "an error at the start is told as ever");
    assertStringIncludes(broken.output, "BKinesisState");
  },
});

/** A command at a terminal of its own. */
class PtyProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #change = Promise.withResolvers<void>();
  output = "";

  constructor(command: string) {
    this.#child = new Deno.Command("script", {
      args: ["-qec", `stty cols 120 rows 30; exec ${command}`, "/dev/null"],
      env: { NO_COLOR: "1", TERM: "xterm" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  async type(keys: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(keys));
  }

  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      const { promise } = this.#change;
      await Promise.race([promise, this.#reading.then(() => this.#mustHave(text))]);
    }
  }

  #mustHave(text: string): void {
    if (!this.output.includes(text)) throw new Error(`It ended without ${text}: ${this.output}`);
  }

  /** Sends SIGTERM to the only child, whatever `script` does with signals. */
  async signalInside(): Promise<void> {
    const children = `/proc/${this.#child.pid}/task/${this.#child.pid}/children`;
    const [pid] = (await Deno.readTextFile(children)).trim().split(" ");
    Deno.kill(Number(pid), "SIGTERM");
  }

  async ended(): Promise<number> {
    await this.#reading;
    return (await this.#child.status).code;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      this.output += decoder.decode(chunk, { stream: true });
      this.#change.resolve();
      this.#change = Promise.withResolvers();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // It has ended already.
    }
    this.#writer.releaseLock();
    await this.#child.stdin.close().catch(() => {});
    await this.ended();
  }
}
