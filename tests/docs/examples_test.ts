// That every file in examples/ is run, by the command that stands at its head, on a local stack.
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
// @ts-types="@types/shell-quote"
import { parse as parseShell } from "shell-quote";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { CliProcess, sourceProgram } from "../cli/cli_testing.ts";
import { ModuleServer } from "../cli/module_server.ts";
import { attributesOf, OtlpReceiver, valueOf } from "../telemetry/otlp_receiver.ts";
import { eventually } from "../telemetry/stack.ts";
import { type CannedAws, sns, sqs } from "./canned_aws.ts";
import { readText } from "./markdown.ts";

const ROOT = new URL("../../", import.meta.url);
/** For an example to show what it has to show, on a machine with a lot to do. */
const WAIT_MAX_MS = 60_000;

/** What an example is given: a stream of its own, and the way to AWS. */
interface Example {
  readonly streamName: string;
  /** Puts records with the partition key `customer-1`, `customer-2` and so on. */
  put(...data: readonly unknown[]): void;
  /** Starts the command at its head. */
  start(options?: StartOptions): CliProcess;
}

interface StartOptions {
  /** Words of the command, and what is there instead; the stream is already. */
  readonly words?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Added to the command. */
  readonly more?: readonly string[];
}

/** What each example has to show. */
const RUNS: Readonly<Record<string, (example: Example) => Promise<void>>> = {
  "hello.ts": (example) => showsOrders(example, [{ id: "A-1", total: 12 }], /A-1/),
  "processor.ts": (example) =>
    showsOrders(example, [{ id: "A-1", total: 12 }], /^billed 12 for order A-1$/),
  "batch.ts": async (example) => {
    example.put({ id: "A-1", total: 1 }, { id: "A-2", total: 2 }, { id: "A-3", total: -1 }, "?");
    await using process = example.start();
    await shows(process, /^gave up/, 2);
    assertStringIncludes(process.stdout.join("\n"), "inserted 2 of 3 orders");
    await stopsCleanly(process);
  },
  "partition_key_concurrency.ts": async (example) => {
    example.put(1, 2, 3, 4);
    await using process = example.start();
    await shows(process, /^customer-\d: \d \(\d at once\)$/, 4);
    assertMatch(process.stdout.join(), /\([2-4] at once\)/);
    await stopsCleanly(process);
  },
  "pull.ts": async (example) => {
    example.put({ id: "A-1", total: 12 });
    const billed: unknown[] = [];
    await using server = new ModuleServer({
      "/bill": async (request) => {
        billed.push(await request.json());
        return new Response(null, { status: billed.length === 1 ? 503 : 204 });
      },
    });
    const words = { "https://billing.example.com": server.url("/bill") };
    await using process = example.start({ words });
    await eventually(() => billed.length, (count) => count === 2, WAIT_MAX_MS);
    await stopsCleanly(process);
    assertEquals(billed, Array(2).fill({ id: "A-1", total: 12 }));
  },
  "dynamodb_exactly_once.ts": async (example) => {
    example.put({ id: "A-1", total: 12 }, { id: "A-2", total: 3 });
    await using before = example.start();
    await shows(before, /^counted up to \d+/);
    await stopsCleanly(before);
    example.put({ id: "A-3", total: 0.5 });
    await using process = example.start();
    await shows(process, /^counted up to \d+/);
    await stopsCleanly(process);
    const totals = process.stdout.filter((line) => line.startsWith("customer"));
    assertEquals(totals.toSorted(), ["customer-1: 2 orders, 12.5", "customer-2: 1 orders, 3"]);
  },
  "rxjs_pipeline.ts": (example) => showsOrders(example, [{ id: "A-1", total: 12 }], /^wrote 1$/),
  "sqs_failure.ts": (example) =>
    putsAside(example, sqs(), (url) => ({
      words: {
        "https://sqs.us-east-1.amazonaws.com/123456789012/orders-failed": `${url}/1/failed`,
      },
      env: { AWS_ENDPOINT_URL_SQS: url },
    })),
  "sns_failure.ts": (example) =>
    putsAside(example, sns(), (url) => ({ env: { AWS_ENDPOINT_URL_SNS: url } })),
  "serve.ts": async (example) => {
    example.put({ total: 3 });
    await using process = example.start({ words: { "8081": "0" } });
    await shows(process, /^Listening on/);
    const [, origin] =
      /(http:\S+)\/ /.exec(`${process.stderr.join(" ")} ${process.stdout.join(" ")} `) ?? [];
    const ask = async (path: string): Promise<string> => await (await fetch(origin + path)).text();
    assertEquals(await ask("/healthz"), "ok");
    const isCounted = (text: string): boolean => text.startsWith("{");
    const text = await eventually(() => ask("/totals/customer-1"), isCounted, WAIT_MAX_MS);
    assertEquals(JSON.parse(text), { customer: "customer-1", total: 3 });
    await stopsCleanly(process, "SIGTERM");
    assertEquals(process.stdout.at(-1), "stopped");
  },
  "open_telemetry.ts": async (example) => {
    await using receiver = new OtlpReceiver(["kinesix", "billing"]);
    example.put({ id: "A-1", total: 12 });
    await using process = example.start({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_METRIC_EXPORT_INTERVAL: "200",
        OTEL_BSP_SCHEDULE_DELAY: "200",
      },
    });
    const valueFor = (name: string): number =>
      valueOf(receiver.metrics.get(name)?.sum?.dataPoints[0]);
    await eventually(() => valueFor("kinesix.records"), (records) => records === 1, WAIT_MAX_MS);
    await eventually(() => valueFor("billing.total"), (total) => total === 12, WAIT_MAX_MS);
    const isThere = (span: unknown): boolean => span !== undefined;
    const findSpan = () => receiver.spans.find(({ name }) => name === "bill");
    const span = await eventually(findSpan, isThere, WAIT_MAX_MS);
    assertEquals(attributesOf(span?.attributes ?? [])["order.id"], "A-1");
    await stopsCleanly(process);
  },
  "remote_processor/processor.ts": async (example) => {
    await using server = new ModuleServer();
    for (const name of ["processor.ts", "tax.ts"]) {
      server.set(`/${name}`, await readText(`examples/remote_processor/${name}`));
    }
    const folder = await Deno.makeTempDir();
    const words = {
      "http://127.0.0.1:9000/processor.ts": server.url("/processor.ts"),
      "kinesix.lock": `${folder}/kinesix.lock`,
    };
    try {
      const order = { id: "A-1", total: 100 };
      await showsOrders(example, [order], /^billed 119\.00 for order A-1$/, { words });
      const lock = JSON.parse(await Deno.readTextFile(words["kinesix.lock"]));
      assertStringIncludes(JSON.stringify(lock), server.url("/tax.ts"));
      // One of its modules changes: nothing of it is run.
      server.set("/tax.ts", "export const withTax = (order) => order;");
      await using process = example.start({ words: { ...words, "--lock-write": "--frozen" } });
      assertEquals(await process.ended(), 1);
      assertStringIncludes(process.stderr.join("\n"), "tax.ts");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
  "remote_processor/tax.ts": () => isPartOf("tax.ts", "examples/remote_processor/processor.ts"),
  "mocked_clients_test.ts": passes,
  "test_a_processor_test.ts": () =>
    isPartOf("examples/test_a_processor_test.ts", "tests/testing/permissions_test.ts"),
  // A minute is too long for a test.
  "windowed_count.ts": () =>
    isPartOf("examples/windowed_count.ts", "tests/unit/windows_example_test.ts"),
  "Dockerfile": () => isPartOf("examples/Dockerfile", "tests/binary/shipping_test.ts"),
  "kinesix.service": () => isPartOf("examples/kinesix.service", "tests/binary/shipping_test.ts"),
  "README.md": () => isPartOf('"examples/"', "tests/docs/markdown.ts"),
};

const FILES = await Array.fromAsync(filesIn("examples/"));

Deno.test("every file in examples/ is run by a test, and is in its table", async () => {
  assertEquals(FILES.toSorted(), Object.keys(RUNS).toSorted());
  const readme = await readText("examples/README.md");
  const shown = FILES.filter((file) => !["README.md", "remote_processor/tax.ts"].includes(file));
  assertEquals(shown.filter((file) => !readme.includes(`](${file})`)), []);
});

/** Windows has no signals that a process could stop cleanly on. */
const ignore = Deno.build.os === "windows";

Deno.test("the examples run by the commands at their heads", { ignore }, async (t) => {
  await using kinesis = serveLocalKinesis({ port: 0 });
  await using dynamoDB = await startLocalDynamoDB({ port: 0 });
  const env = {
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local",
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_ENDPOINT_URL_KINESIS: kinesis.url,
    AWS_ENDPOINT_URL_DYNAMODB: dynamoDB.url,
  };
  for (const [file, run] of Object.entries(RUNS)) {
    await t.step(file, async () => await run(await exampleOf(file, kinesis, env)));
  }
});

async function exampleOf(
  file: string,
  kinesis: LocalKinesis,
  env: Readonly<Record<string, string>>,
): Promise<Example> {
  const streamName = `orders-of-${file.replaceAll(/\W/g, "-")}`;
  kinesis.engine.call("CreateStream", { StreamName: streamName, ShardCount: 1 });
  const text = await readText(`examples/${file}`);
  return {
    streamName,
    put(...data) {
      const Records = data.map((each, i) => ({
        PartitionKey: `customer-${i + 1}`,
        Data: btoa(typeof each === "string" ? each : JSON.stringify(each)),
      }));
      kinesis.engine.call("PutRecords", { StreamName: streamName, Records });
    },
    start({ words = {}, env: own = {}, more = [] } = {}) {
      const { program, args, variables } = commandOf(text);
      const given: Readonly<Record<string, string>> = { orders: streamName, ...words };
      const real = args.map((word) => given[word] ?? word);
      return new CliProcess([...real, ...more], {
        program,
        cwd: fileURLToPath(ROOT),
        env: { ...env, ...variables, ...own },
      });
    },
  };
}

/** The first command in the comment at the head of a file. */
function commandOf(text: string): {
  readonly program: { readonly command: string; readonly args: readonly string[] };
  readonly args: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
} {
  const head = text.slice(0, text.search(/^(?!\/\/)/m)).replaceAll(/ \\\n\/\/ +/g, " ");
  const [, line = ""] = /^\/\/ {3}((?:[A-Z_]+=\S+ )*(?:deno|kinesix) .+)$/m.exec(head) ?? [];
  const words = parseShell(line).filter((word) => typeof word === "string");
  const first = words.findIndex((word) => !/^[A-Z_]+=/.test(word));
  const variables = Object.fromEntries(words.slice(0, first).map((word) => word.split(/=(.*)/s)));
  const [name, ...args] = words.slice(first);
  if (name === "kinesix") return { program: sourceProgram(), args, variables };
  const [subcommand = "", ...rest] = args;
  const program = { command: Deno.execPath(), args: [subcommand, "--no-check"] };
  return { program, args: rest, variables };
}

async function showsOrders(
  example: Example,
  orders: readonly unknown[],
  line: RegExp,
  options: StartOptions = {},
): Promise<void> {
  example.put(...orders);
  await using process = example.start(options);
  await shows(process, line, orders.length);
  await stopsCleanly(process);
}

async function putsAside(
  example: Example,
  server: CannedAws,
  options: (url: string) => StartOptions,
): Promise<void> {
  await using _server = server;
  example.put("no JSON", { id: "A-1", total: 12 });
  await using process = example.start(options(server.url));
  await shows(process, /^billed 12 for order A-1$/);
  await stopsCleanly(process);
  assertEquals(server.bodies.length, 1);
  assertStringIncludes(decodeURIComponent(server.bodies.join()), "kinesixFailure");
}

async function passes(example: Example): Promise<void> {
  await using process = example.start();
  assertEquals(await process.ended(), 0, process.stdout.join("\n"));
}

async function stopsCleanly(process: CliProcess, signal: Deno.Signal = "SIGINT"): Promise<void> {
  process.kill(signal);
  assertEquals(await process.ended(), 0, process.stderr.join("\n"));
}

/** Fails unless the other file, which is run elsewhere, uses it. */
async function isPartOf(name: string, path: string): Promise<void> {
  assertStringIncludes(await readText(path), name);
}

/** Waits until a process has printed lines of a kind. */
async function shows(process: CliProcess, line: RegExp, times = 1): Promise<void> {
  const look = (): readonly string[] => [...process.stdout, ...process.stderr];
  const isDone = (lines: readonly string[]): boolean =>
    lines.filter((each) => line.test(each)).length >= times;
  await eventually(look, isDone, WAIT_MAX_MS);
}

async function* filesIn(folder: string, prefix = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    if (isDirectory) yield* filesIn(`${folder}${name}/`, `${prefix}${name}/`);
    else yield prefix + name;
  }
}
