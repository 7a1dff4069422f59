// docs/json.md: each command that prints JSON is in it, and what each prints on a local stack has the fields that it says, all of
// them, with their types.
import { assert, assertEquals } from "@std/assert";
import { describedEvents, jsonDoc } from "../../.ci/events_doc.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { formatFailure } from "../../src/adapters/failure_format.ts";
import { SHARD_END } from "../../src/core/checkpoint.ts";
import { retryAndSkip } from "../../src/core/policy.ts";
import { PROCESSOR, Ward } from "../cli/bad_input_testing.ts";
import { shardRow } from "../cli/doctor_testing.ts";
import { compare, readShapes, shapeOf } from "./json_shapes.ts";
import { readText } from "./markdown.ts";

/** What prints JSON without being asked for it by `--json`. */
const OTHERS = ["checkpoint export", "run --log json"];
/** Their output is compared where they are run: they are processes of their own. */
const ELSEWHERE = ["local", "demo", "run --log json"];

Deno.test("docs/json.md: every command with --json has its section, and no other one has", async () => {
  const documented = (await readShapes()).flatMap(({ commands }) => commands);
  const wanted = COMMANDS.filter(({ flags }) => flags.some(({ name }) => name === "json"))
    .map(({ name }) => name);
  assertEquals(documented.toSorted(), [...wanted, ...OTHERS].toSorted());
});

Deno.test("docs/json.md: its examples are as its tables say", async () => {
  for (const shape of await readShapes()) {
    const [command = ""] = shape.commands;
    assert(shape.examples.length === 1 || command.startsWith("table print"), command);
    const isEvent = command.startsWith("run");
    const problems = compare(shape, shape.examples[0] ?? {}).problems
      .filter((problem) => !isEvent || !problem.endsWith("is not documented"));
    assertEquals(shape.examples.length === 0 ? [] : problems, [], command);
  }
});

Deno.test("docs/json.md: the events are those of src/events.ts: `deno task docs` makes them", async () => {
  const words = (text: string) => text.replaceAll(/\s+/g, " ");
  assertEquals(words(await readText("docs/json.md")), words(await jsonDoc()));
  const source = await readText("src/events.ts");
  const types = Array.from(source.matchAll(/readonly type: "(\w+)"/g), ([, type]) => type);
  const events = await describedEvents();
  assertEquals(events.map(({ type }) => type), types);
  assert(events.every(({ about }) => about !== ""), "each says when it is told");
  assertEquals(events.find(({ type }) => type === "throttled")?.fields, [
    ["shardId", "string | null", ""],
    ["operation", "string", ""],
    ["retryInMs", "number", ""],
  ]);
});

/** The calls whose outputs together have every field. */
const CALLS: readonly string[] = [
  ...["status --json", "explain 0 --json", "explain 2 --json", "explain 5 --json"],
  ...["shard stop 0 --wait=0s --json", "shard start 2 --wait=0s --json"],
  ...["shard handover 3 --to=w --wait=0s --json", "checkpoint list --json", "checkpoint export"],
  ...["checkpoint set 3 1h --json", "checkpoint rewind 1h --dry-run --force --json"],
  "checkpoint import FOLDER/some.json --json",
  ...["tail --no-follow --from=trim-horizon --json", "put --json", "replay --from=1h --json"],
  "replay --from=trim-horizon --error-mode=retryAndStop --json",
  ...["redrive --from=file:FOLDER/f.jsonl --json", "consumer list --json"],
  ...["consumer deregister A --json", "doctor --looks-apart=0s --json", "cost --json"],
  ...["cost --shards=3 --billing-mode=PAY_PER_REQUEST --json", "table print --json"],
  "table print --format=json --billing-mode=PAY_PER_REQUEST",
  "iam print --region=eu-west-1 --account=123456789012 --json",
];

const FAILING = `--processor=data:text/javascript,${
  encodeURIComponent(`export default {
    process() { throw new Error("x"); },
    getErrorHandlingMode: () => ({ kind: "retryAndStop", retries: 0 }),
  };`)
}`;

Deno.test("docs/json.md: what each command prints has the fields that it says, and all of them", async () => {
  await using ward = await Ward.start();
  const { clinic: { kinesis }, folder } = ward;
  const { StreamDescriptionSummary: { StreamARN } } = kinesis.engine.call(
    "DescribeStreamSummary",
    { StreamName: "S" },
  ) as { readonly StreamDescriptionSummary: { readonly StreamARN: string } };
  kinesis.engine.call("RegisterStreamConsumer", { StreamARN, ConsumerName: "A" });
  const shards = ["3", "9"].map((i) => ({
    shardId: `shardId-00000000000${i}`,
    checkpoint: "TRIM_HORIZON",
  }));
  const file = { format: "kinesix-checkpoints/1", streamName: "S", shards };
  await Deno.writeTextFile(`${folder}/some.json`, JSON.stringify(file));
  await Deno.writeTextFile(`${folder}/f.jsonl`, `${failure()}\n`);
  const seen = new Map<string, Set<string>>();
  for (const call of CALLS) {
    await ward.fill();
    await ward.clinic.rows(...moreRows());
    const outputs = await outputsOf(ward, call);
    const [first, second] = call.split(" ");
    const isTwo = COMMANDS.some(({ name }) => name === `${first} ${second}`);
    const shape = await shapeOf(isTwo ? `${first} ${second}` : first ?? "");
    const [key = ""] = shape.commands;
    seen.set(key, seen.get(key) ?? new Set());
    for (const output of outputs) {
      const { problems, paths } = compare(shape, output);
      assertEquals(problems, [], `${call}: ${JSON.stringify(output)}`);
      paths.forEach((path) => seen.get(key)?.add(path));
    }
  }
  for (const { commands: [key = ""], fields } of await readShapes()) {
    if (ELSEWHERE.includes(key)) continue;
    const unseen = [...fields.keys()].filter((path) => seen.get(key)?.has(path) !== true);
    assertEquals(unseen.filter((path) => !NOT_MADE.includes(`${key}: ${path}`)), [], key);
  }
});

/** What the calls above do not bring about; the tests of these commands do. */
const NOT_MADE = [
  "checkpoint set: created[].shardId",
  "checkpoint set: created[].to",
  "tail: subSequenceNumber",
  "replay: unfinished[].shardId",
  "replay: unfinished[].checkpoint",
];

async function outputsOf(ward: Ward, call: string): Promise<readonly unknown[]> {
  const [first, , ...rest] = call.split(" ");
  const isFailing = rest.some((word) => word.startsWith("--error-mode"));
  const args = call.replaceAll("FOLDER", ward.folder).split(" ")
    .filter((word) => !word.startsWith("--error-mode"));
  const isReplay = first === "replay";
  const { stdout, stderr } = await ward.call(
    [...args, ...isReplay ? [isFailing ? FAILING : PROCESSOR] : []],
    { stdin: ["a", "b"] },
  );
  assert(stdout !== "", `${call}: ${stderr}`);
  try {
    return [JSON.parse(stdout)];
  } catch {
    return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  }
}

/** A shard that somebody asks for, one that comes from another one, and one that an operator started. */
function moreRows() {
  const free = { owner: null, holder: null };
  return [
    shardRow(4, { ...free, checkpoint: SHARD_END }),
    shardRow(5, {
      parents: ["shardId-000000000004"],
      handover: { to: "w2", id: "1", at: Date.now() },
      order: { kind: "start" as const, id: "1", at: Date.now() },
    }),
  ];
}

function failure(): string {
  return formatFailure({
    ...{ appName: "A", streamName: "S", shardId: "shardId-000000000000", sequenceNumber: "1" },
    ...{ subSequenceNumber: undefined, partitionKey: "k", data: new Uint8Array([1]) },
    ...{ approximateArrivalTimestamp: new Date(0), error: new Error("x"), attempts: 1 },
    ...{ mode: retryAndSkip(0), workerId: "w", time: new Date() },
  });
}
