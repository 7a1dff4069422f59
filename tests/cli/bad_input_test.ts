// Whatever a command is told that cannot be: the message says what cannot be done, why and what to do, nothing is printed that is
// no JSON, and the state table is byte for byte as it was.
import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { assertRefused, PROCESSOR, Ward } from "./bad_input_testing.ts";

type Case = readonly [call: string, says: string | RegExp, code?: 1 | 2];

const FINISHED = "every record of it is finished";
const NO_ROW = /no shard of that name of stream "S"; kinesix status --app A --stream S shows/;

/** What is wrong with the shard or the worker that is named. */
const SHARDS: readonly Case[] = [
  ["explain 7", /Cannot explain shard "shardId-000000000007": the state table has no shard/],
  ["shard stop 7", NO_ROW],
  ["shard start 7", NO_ROW],
  ["shard release 7", NO_ROW],
  ["shard handover 7 --to=w", NO_ROW],
  ["shard stop 7 --stream=T", /no shard of that name of stream "T"/],
  ["shard stop 1", `Cannot stop shard "shardId-000000000001": ${FINISHED}`],
  ["shard start 1", `Cannot start shard "shardId-000000000001": ${FINISHED}`],
  ["shard release 1", `Cannot release shard "shardId-000000000001": ${FINISHED}`],
  ["shard handover 1 --to=w", FINISHED],
  ["shard handover 0 --to=zorro", /"zorro": there is no worker of that name; those that .* "w"$/m],
  ["shard handover 0 --to=w2", 'over to worker "w2": it is stopping'],
  ["shard handover 2 --to=w", "it is stopped; start it first"],
  ["shard release 2", "it is stopped; start it first"],
  ["shard release 3", "nobody has it"],
  ["shard release 0", 'there is no other worker that would take it from "w"'],
  ["checkpoint set 7 latest", 'stream "S" has no shard of that name'],
  ["checkpoint set 0 latest", 'worker "w" has shard "shardId-000000000000"; use --stop-first'],
  ["checkpoint rewind 1h", 'worker "w" has shard "shardId-000000000000"; use --stop-first'],
  ["tail --shard=7", 'Cannot tail shard "shardId-000000000007": stream "S" has no shard'],
  ["consumer deregister none", 'stream "S" has none of that name; it has no consumers'],
];

/** Positions and times that the stream does not hold. */
const POSITIONS: readonly Case[] = [
  ["checkpoint set 3 30h", /to AT_TIMESTAMP:.*holds its records for 1d; use trim-horizon/],
  ["checkpoint set 3 2099-01-01", "that is in the future"],
  ["checkpoint set 0 1", /the oldest record that the shard holds .*; use trim-horizon/],
  ["checkpoint set 3 1", "a worker could not go on there"],
  [`checkpoint set 0 ${"9".repeat(56)}`, "a worker could not go on there"],
  ["checkpoint rewind 30h", "use trim-horizon for the oldest record"],
  ["checkpoint rewind 2099-01-01", "that is in the future"],
  ["checkpoint rewind 1", "it belongs to one shard; see kinesix checkpoint set", 2],
  ["tail --from=1", "without --shard: it is a position in one shard", 2],
  ["tail --from=2099-01-01", "that is in the future", 2],
  ["tail --from=1 --shard=0 --no-follow", "StartingSequenceNumber 1"],
  ["replay --from=30h", /the stream holds its records for 1d; use --from trim-horizon/],
  ["replay --from=1h --to=2099-01-01", "a worker (kinesix run) waits for what comes", 2],
  ["replay --from=1h --to=2h", "that is no time at all", 2],
];

const NO_STREAM =
  /stream "T": it does not exist at http:.*; check the name, the region and the acc/;
const NO_TABLE = /state table "BKinesisState": it does not exist/;

/** Streams, tables and files that are not there, or are something else. */
const MISSING: readonly Case[] = [
  ...["run --log=json", "tail", "replay --from=1h", "put", "consumer list", "consumer deregister x"]
    .concat("checkpoint set 3 1h", "checkpoint rewind 1h", "checkpoint import FOLDER/other.json")
    .concat("cost").map((call): Case => [`${call} --stream=T`, NO_STREAM]),
  ["redrive --from=kinesis:T --marks=FOLDER/marks", NO_STREAM],
  ...["run --log=json --create-table=false", "status", "status --watch", "explain 0", "cost"]
    .concat("shard stop 0", "shard start 0", "shard release 0", "shard handover 0 --to=w")
    .concat("checkpoint list", "checkpoint export", "checkpoint set 3 1h", "checkpoint rewind 1h")
    .map((call): Case => [`${call} --app=B`, NO_TABLE]),
  ["checkpoint import", "give either FILE or --from-kcl TABLE", 2],
  ["checkpoint import FOLDER/none.json", /Cannot import "[^"]+none.json": there is no such file/],
  ["checkpoint import FOLDER/other.json", 'it is of stream "T", not "S"'],
  ["checkpoint import FOLDER/bad.json", /Cannot import "[^"]+bad.json": Expected/],
  ["checkpoint import --from-kcl=None", /Cannot read KCL table "None": it does not exist/],
  ["checkpoint export --output=FOLDER/no/file", /Cannot export to --output "[^"]+": No such file/],
  ["redrive --from=file:FOLDER/none", /Cannot read failure records from file "[^"]+": No such/],
  ["redrive --from=kinesis:S", 'from stream "S" back into itself', 2],
  ["doctor --on-failure=ftp://x", "it must be file:PATH or kinesis:STREAM", 2],
];

const HAS_JSON = new Set(
  COMMANDS.filter(({ flags }) => flags.some(({ name }) => name === "json")).map(({ name }) => name),
);

Deno.test("bad input: what cannot be is refused by name, and changes nothing", async (test) => {
  await using ward = await Ward.start();
  const other = { format: "kinesix-checkpoints/1", streamName: "T", shards: [] };
  await Deno.writeTextFile(`${ward.folder}/other.json`, JSON.stringify(other));
  await Deno.writeTextFile(`${ward.folder}/bad.json`, "{");
  for (const [about, cases] of Object.entries({ SHARDS, POSITIONS, MISSING })) {
    await test.step(about.toLowerCase(), async () => {
      for (const [name, says, code = 1] of cases) {
        const words = name.replace("FOLDER", ward.folder).split(" ");
        const isReader = words[0] === "run" || words[0] === "replay";
        const command = [words[0], `${words[0]} ${words[1]}`].find((name) =>
          HAS_JSON.has(name ?? "")
        );
        const args = [
          ...words,
          ...isReader ? [PROCESSOR] : [],
          ...command === undefined ? [] : ["--json"],
        ];
        await assertRefused(ward, () => ward.call(args, { stdin: ["a"] }), {
          name,
          says: [says],
          code,
        });
      }
    });
  }
});

Deno.test("bad input: a stream that no worker has run on is shown as empty, and said to be", async () => {
  await using ward = await Ward.start();
  for (const command of ["status --json", "checkpoint list --json", "checkpoint export"]) {
    const { code, stdout, stderr } = await ward.call([...command.split(" "), "--stream=T"]);
    assertEquals([code, JSON.parse(stdout).shards], [0, []], command);
    assert(stderr.includes('note: the state table of app "A" has no rows of stream "T"'), stderr);
  }
});
