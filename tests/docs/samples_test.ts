// That what the documents show is what there is: outputs, answers, a statement for a database, the map of the code.
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals } from "@std/assert";
import { healthRoutes } from "../../src/cli/http/health.ts";
import { Clinic, denied, shardRow, workerRow } from "../cli/doctor_testing.ts";
import { codeIn, isThere } from "./markdown.ts";

const HOUR_MS = 3_600_000;

Deno.test("docs/operating.md: what the doctor prints where a permission is lacking", async () => {
  const { text } = await codeIn("docs/operating.md", "problem   permission");
  let isDenied = false;
  await using clinic = await Clinic.start({
    dynamoDB: (name) => isDenied && name === "UpdateItem" ? denied(name) : undefined,
  });
  await clinic.rows(workerRow(), shardRow(0), shardRow(1));
  isDenied = true;
  const { code, stdout } = await clinic.run();
  assertEquals(code, 1);
  assertEquals(
    stdout,
    text.replaceAll("orders-billing", "A").replaceAll("--stream orders", "--stream S"),
  );
});

Deno.test("docs/operating.md: what a worker answers whose cluster is not well", async () => {
  const { text } = await codeIn("docs/operating.md", '"kind": "lagging"');
  const shard = {
    shardId: "shardId-000000000003",
    state: "processing",
    owner: "worker-b",
    term: 1,
    checkpoint: "1",
    checkpointAt: "2026-11-01T06:00:00.000Z",
    millisBehindLatest: 2 * HOUR_MS,
    stoppedAt: null,
    handoverTo: null,
    parents: [],
  } as const;
  const lastHeartbeatAt = "2026-11-01T06:00:00.000Z";
  const worker = { workerId: "worker-b", alive: true, shards: 1, lastHeartbeatAt, version: "1" };
  const [route] = healthRoutes({
    app: () => ({
      workerId: "worker-a",
      health: () => ({
        phase: "running",
        heartbeatAgeMs: 1_204,
        isFenced: false,
        loops: ["heartbeat", "fence", "survey", "shard sync"],
      }),
      shards: () =>
        Array.from({ length: 12 }, (_, i) => ({
          shardId: `shardId-00000000001${i}`,
          term: 1,
          state: "processing" as const,
          checkpoint: "1",
          millisBehindLatest: 0,
          inHandMs: 0,
        })),
      status: () => Promise.resolve({ workers: [worker], shards: [shard] }),
    }),
    limits: { maxStallMs: HOUR_MS, maxUnownedMs: HOUR_MS, maxLagMs: HOUR_MS },
    prometheus: { text: () => Promise.resolve(""), contentType: "" },
    nowMs: () => 0,
  });
  const url = new URL("http://127.0.0.1/healthz?scope=cluster");
  const answer = await route?.handle({ url, headers: new Headers(), body: {} });
  assertEquals([answer?.status, await answer?.json()], [503, JSON.parse(text)]);
});

Deno.test("docs/sinks.md: the statement takes each record once, and none of a worker that lost the shard", async () => {
  const { text } = await codeIn("docs/sinks.md", "UPDATE sink");
  using database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE sink (shard TEXT, total NUMERIC, term NUMERIC, position NUMERIC)");
  database.exec("INSERT INTO sink VALUES ('0', 0, 0, 0), ('1', 0, 0, 0)");
  const statement = database.prepare(text);
  const write = (total: number, term: number, position: number): number =>
    Number(statement.run({ $1: total, $2: term, $3: position, $4: "0" }).changes);
  assertEquals([write(5, 1, 10), write(5, 1, 10), write(7, 2, 11)], [1, 0, 1]);
  assertEquals([write(100, 1, 12), write(1, 2, 12)], [0, 1]);
  const rows = database.prepare("SELECT total FROM sink ORDER BY shard").all();
  assertEquals(rows.map(({ total }) => total), [13, 0]);
});

Deno.test("src/README.md: what is on the map is there", async () => {
  const { text } = await codeIn("src/README.md", "ReactoKinesixApp: the public class");
  const folders: string[] = [];
  const missing: string[] = [];
  let count = 0;
  for (const line of text.trimEnd().split("\n")) {
    const [, indent = "", names = ""] = /^( *)((?:[\w./]+(?:, )?)+)/.exec(line) ?? [];
    const depth = indent.length / 2;
    for (const name of names.split(", ")) {
      if (name.endsWith("/")) folders.splice(depth, Infinity, name);
      const path = [...folders.slice(0, depth), name].join("");
      count++;
      if (!await isThere(path)) missing.push(path);
    }
  }
  assertEquals(missing, []);
  assert(count > 100, `${count} names`);
});
