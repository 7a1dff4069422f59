/**
 * The executable by itself: what it says of itself, without anything around it, as a cluster.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import packageFile from "../../deno.json" with { type: "json" };
import { CliProcess, works } from "../cli/cli_testing.ts";
import { BINARY, binaryTest, startWorker } from "./binary.ts";
import { putLines, startStack } from "../cli/worker_testing.ts";

if (BINARY === undefined) {
  Deno.test.ignore(
    "SKIPPED: the tests of the executable, since KINESIX_BINARY does not name one (deno task compile makes it)",
    () => {},
  );
}

const LINES = Array.from({ length: 400 }, (_, index) => String(index));

/** As a module for `file:`; it prints each record, which is on stderr, away from the events. */
const PROCESSOR = `export default { process(record) { console.log("got", record.text()); } };`;

function gotBy(...workers: readonly CliProcess[]): readonly string[] {
  return workers.flatMap((worker) => worker.stderr).filter((line) => line.startsWith("got "))
    .map((line) => line.slice(4));
}

binaryTest("--version is that of deno.json", async (binary) => {
  await using version = new CliProcess(["--version"], {
    program: { command: binary, args: [] },
    clearEnv: true,
  });
  assertEquals(await version.ended(), 0);
  assertEquals([version.stdout, version.stderr], [[`kinesix ${packageFile.version}`], []]);
});

binaryTest("the whole demo runs: nothing is lost or out of order", async (binary) => {
  await using demo = new CliProcess(["demo", "--json"], {
    program: { command: binary, args: [] },
    clearEnv: true,
  });
  assertEquals(await demo.ended(), 0, demo.stderr.join("\n"));
  const { put, processed, duplicates, outOfOrder, workers } = JSON.parse(demo.stdout.join(""));
  assertEquals({ put, processed, duplicates, outOfOrder }, {
    put: 20_000,
    processed: 20_000,
    duplicates: 0,
    outOfOrder: 0,
  });
  assertEquals(workers.length, 3);
});

binaryTest("local, put and two workers of the executable share a stream", async (binary) => {
  const program = { command: binary, args: [] };
  const folder = await Deno.makeTempDir({ prefix: "kinesix-binary-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const processor = `${folder}/processor.mjs`;
  await Deno.writeTextFile(processor, PROCESSOR);
  await using local = new CliProcess(
    ["local", "--json", "--stream=S", "--shards=4", "--kinesis-port=0", "--dynamodb-port=0"],
    { program, clearEnv: true },
  );
  await local.until((lines) => lines.length > 0);
  const stack = JSON.parse(local.stdout.join(""));
  await putLines(stack, LINES, { program, clearEnv: true });
  const workers = ["w1", "w2"].map((id) =>
    startWorker({ stack, processor, program, flags: [`--worker-id=${id}`] })
  );
  workers.forEach((worker) => cleanup.use(worker));
  const [first, second] = workers;
  assert(first && second);
  const isDone = () => first.processed + second.processed >= LINES.length;
  await Promise.race([first.until(isDone), second.until(isDone)]);
  for (const worker of [first, second, local]) worker.kill("SIGTERM");
  assertEquals([await first.ended(), await second.ended(), await local.ended()], [0, 0, 0]);
  assertEquals(gotBy(first, second).toSorted(), LINES.toSorted());
});

binaryTest(
  "OpenTelemetry was left out when it was compiled: it says so, and runs",
  async (binary) => {
    await using stack = await startStack(1);
    await putLines(stack, LINES);
    await using worker = startWorker({
      stack,
      processor: `data:text/javascript,${encodeURIComponent(PROCESSOR)}`,
      env: { OTEL_DENO: "true" },
      program: { command: binary, args: [] },
    });
    await worker.untilProcessed(LINES.length);
    assert(worker.stderr.some((line) => line.startsWith("note: OTEL_DENO has no effect")));
  },
);

/** A compiled program finds itself through /proc, which every container has too. */
const ENTER = 'mount --rbind /proc "$0/proc" && exec chroot "$0" /kinesix "$@"';

/** Made of nothing but the executable, the libraries that it is linked to, each at its place, and a user. */
async function bareRoot(binary: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "kinesix-root-" });
  const { stdout } = await new Deno.Command("ldd", { args: [binary] }).output();
  const libraries = [...new TextDecoder().decode(stdout).matchAll(/(\/\S+) \(0x/g)]
    .map(([, library = ""]) => library);
  for (const library of libraries) {
    await Deno.mkdir(path + library.slice(0, library.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(library, path + library);
  }
  await Deno.copyFile(binary, `${path}/kinesix`);
  await Deno.mkdir(`${path}/proc`);
  // Without HOME the AWS SDK looks here for a home.
  await Deno.mkdir(`${path}/etc`);
  await Deno.writeTextFile(`${path}/etc/passwd`, "root:x:0:0::/nonexistent:/nonexistent\n");
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

binaryTest(
  "it runs on a machine that has nothing but the C library: no deno, no shell, no HOME, no DENO_DIR, no /tmp",
  async (binary) => {
    await using root = await bareRoot(binary);
    await Deno.writeTextFile(`${root.path}/processor.mjs`, PROCESSOR);
    await using stack = await startStack(2);
    const program = { command: "unshare", args: ["-rm", "sh", "-c", ENTER, root.path] };
    await putLines(stack, LINES, { program, clearEnv: true });
    await using worker = startWorker({ stack, processor: "/processor.mjs", program });
    await worker.untilProcessed(LINES.length);
    await worker.stop();
    assertEquals(gotBy(worker).toSorted(), LINES.toSorted());
    const left = (await Array.fromAsync(Deno.readDir(root.path))).map(({ name }) => name);
    assertEquals(left.filter((name) => !name.startsWith("lib") && name !== "usr").toSorted(), [
      "etc",
      "kinesix",
      "proc",
      "processor.mjs",
    ]);
  },
  works("unshare", "-rm", "sh", "-c", "mount --rbind /proc /proc && chroot / true") &&
    works("ldd", "--version"),
);

binaryTest(
  "it needs no network but the loopback",
  async (binary) => {
    await using demo = new CliProcess(["demo", "--json", "--records=2000"], {
      program: {
        command: "unshare",
        args: ["-rn", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', binary],
      },
    });
    assertEquals(await demo.ended(), 0, demo.stderr.join("\n"));
    assertEquals(JSON.parse(demo.stdout.join("")).processed, 2_000);
  },
  works("unshare", "-rn", "ip", "link", "set", "lo", "up"),
);

binaryTest(
  "the libraries that it needs are in every image with glibc and libgcc",
  async (binary) => {
    const { stdout } = await new Deno.Command("ldd", { args: [binary] }).output();
    const names = new TextDecoder().decode(stdout).trim().split("\n")
      .map((line) => line.trim().split(/[ .]/)[0]?.split("/").at(-1) ?? "");
    for (const name of names) {
      assertMatch(name, /^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libgcc_s)$/);
    }
    assert(names.includes("libc"), names.join(", "));
  },
  works("ldd", "--version"),
);
