// The simulator as a program: exit codes, what it prints, and that what it prints can be run again.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

const PROGRAM = new URL("./run.ts", import.meta.url).pathname;
/** Some seeds of the first few have this in their story. */
const PLANTED = ["--find", "worker_lost"];
/** More have this one, which needs no faults at all. */
const COMMON = ["--find", "handover_requested"];

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function command(args: readonly string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--allow-all", PROGRAM, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function sim(...args: readonly string[]): Promise<Ended> {
  const { code, stdout, stderr } = await command(args).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("sim: seeds that keep every promise exit with 0 and a summary, and nothing on stderr", async () => {
  const { code, stdout, stderr } = await sim("--seeds", "3", "--jobs", "2");
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^3 seeds, 0 failed in .* events\/s, .* virtual hours\/s; .* after a crash/);
});

Deno.test("sim: --minutes begins seeds for so long", async () => {
  const startedAt = performance.now();
  const { code, stdout } = await sim("--minutes", "0.02");
  const seconds = (performance.now() - startedAt) / 1_000;
  assertEquals(code, 0, stdout);
  const [, seeds, shown] = /^(\d+) seeds, 0 failed in ([\d.]+) s/.exec(stdout) ?? [];
  assert(Number(seeds) >= 1 && Number(shown) >= 1.2 && seconds >= 1.2, stdout);
});

Deno.test("sim: wrong arguments exit with 2, and are named", async () => {
  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ["Cannot use --sead: there is no such flag; did you mean --seed?", ["--sead", "3"]],
    ['Cannot use --seeds "0": it must be a whole number', ["--seeds", "0"]],
    ['Cannot use --minutes "-1": it must be a number above 0', ["--minutes=-1"]],
    ['Cannot use --jobs "many": it must be a whole number', ["--jobs", "many"]],
    ["Cannot use --until without a value", ["--until", "--all"]],
    ["a scenario has no happenings.crush", ["--override", '{"happenings":{"crush":0}}']],
    ["workers must be a whole number of at least 1", ["--override", '{"workers":0.5}']],
    ["store must be an object", ["--override", '{"store":3}']],
    ['Cannot use setting "heartbeat"', ["--override", '{"config":{"heartbeat":-1}}']],
    ["Cannot use --override '{': ", ["--override", "{"]],
  ];
  const ended = await Promise.all(wrong.map(([, args]) => sim(...args)));
  for (const [i, { code, stdout, stderr }] of ended.entries()) {
    assertStringIncludes(stderr, wrong[i]?.[0] ?? "?");
    assertEquals([code, stdout], [2, ""]);
  }
});

Deno.test("sim: the lowest seed that fails is told, with its story, however many run at a time", async () => {
  const once = await sim(...PLANTED, "--seeds", "20", "--no-shrink", "--jobs", "1");
  const again = await sim(...PLANTED, "--seeds", "20", "--no-shrink", "--jobs", "3");
  const story = ({ stdout }: Ended) => stdout.slice(0, stdout.indexOf(" failed in"));
  assertEquals(story(again), story(once));
  assertEquals([once.code, again.code], [1, 1]);
  assertMatch(once.stdout, /^ +time +process +shard +what\n +\d+\.\d{3}s +w\d/);
  const [, seed] = /^Seed (\d+) fails at \d+ ms: found: .* worker_lost/m.exec(once.stdout) ?? [];
  assertStringIncludes(
    once.stdout,
    `Replay: deno task sim --seed ${seed} --find 'worker_lost' --lines 400\n`,
  );
  const all = await sim(...PLANTED, "--seeds", String(Number(seed) + 3), "--all");
  const failed = [...all.stdout.matchAll(/^seed (\d+): found: /gm)].map(([, seed]) => Number(seed));
  assertEquals([all.code, String(failed[0])], [1, seed]);
  assertEquals(failed, failed.toSorted((a, b) => a - b));
  assertMatch(all.stdout, new RegExp(`^${Number(seed) + 3} seeds, ${failed.length} failed`, "m"));
});

Deno.test("sim: a failure is shrunk, and the command that is printed tells the shrunken story", async () => {
  const { code, stdout } = await sim(...COMMON, "--seeds", "20", "--lines", "3");
  assertEquals(code, 1);
  assertMatch(stdout, /with no more than this \(\d+ tries\):\n +.*nothing goes wrong\n/);
  const [, shrunken = ""] = stdout.split("The same checker fails");
  const [, at, failure] = /at (\d+) ms[^]*\n +(found: .*)\nReplay/.exec(shrunken) ?? [];
  const [, seed = "", override = ""] = /--seed (\d+) --override '(\{.*\})' --find/.exec(shrunken) ??
    [];
  assert(at !== undefined && failure !== undefined, stdout);
  const replayed = await sim(...COMMON, "--seed", seed, "--override", override, "--no-shrink");
  assertEquals(replayed.code, 1);
  assertStringIncludes(replayed.stdout, `Seed ${seed} fails at ${at} ms: ${failure}\n`);
});

Deno.test("sim: --until tells the story up to a time, and --verbose what the seed stands for", async () => {
  const { code, stdout } = await sim(
    "--seed",
    "3",
    "--until",
    "60000",
    "--lines",
    "5",
    "--verbose",
  );
  assertEquals(code, 0, stdout);
  const times = [...stdout.matchAll(/^ +([\d.]+)s /gm)].map(([, seconds]) => Number(seconds));
  assertEquals(times.length, 5);
  assert(times.every((seconds, i) => seconds <= 60 && seconds >= (times[i - 1] ?? 0)), stdout);
  assertMatch(stdout, /^seed 3 +[0-9a-f]{8} +\d+ events +\{.*"workers":/);
});

Deno.test({
  name: "sim: Ctrl-C ends it with 130 and the summary so far",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using program = command(["--minutes", "5", "--verbose"]).spawn();
    const reader = program.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    // The first line says that seeds are under way.
    while (!text.includes("\n")) text += (await reader.read()).value ?? "";
    program.kill("SIGINT");
    for (let next; !(next = await reader.read()).done;) text += next.value;
    assertEquals((await program.status).code, 130);
    assertMatch(text, /\n[1-9]\d* seeds, 0 failed in [^\n]*\n$/);
    await program.stderr.cancel();
  },
});
