// Every command without each of its permissions, and without the service: which one is said, and the state table is as it was.
import { assert, assertEquals } from "@std/assert";
import { formatFailure } from "../../src/adapters/failure_format.ts";
import { permissionsFor, type Purpose } from "../../src/cli/permissions.ts";
import { assertRefused, PROCESSOR, Ward } from "./bad_input_testing.ts";
import { failedRecord } from "../failed_record.ts";

interface GoodCall {
  readonly call: string;
  readonly purpose: Purpose;
  /** What it asks of AWS; that of a call that succeeds if nothing is given. */
  readonly asks?: readonly string[];
}

const CALLS: readonly GoodCall[] = [
  { call: "status --json", purpose: "status" },
  { call: "status --watch --json", purpose: "status", asks: ["dynamodb:Query"] },
  { call: "explain 0 --json", purpose: "status" },
  { call: "shard stop 0 --wait=0s --json", purpose: "steer" },
  { call: "shard start 2 --wait=0s --json", purpose: "steer" },
  { call: "shard handover 3 --to=w --wait=0s --json", purpose: "steer" },
  { call: "checkpoint list --json", purpose: "steer" },
  { call: "checkpoint export", purpose: "steer" },
  { call: "checkpoint set 3 1h --json", purpose: "steer" },
  { call: "checkpoint set 0 FIRST --force --json", purpose: "steer" },
  { call: "checkpoint rewind 1h --force --json", purpose: "steer" },
  { call: "checkpoint import FOLDER/some.json --json", purpose: "steer" },
  { call: "tail --no-follow --from=trim-horizon --json", purpose: "tail" },
  { call: "replay --from=1h --json", purpose: "replay" },
  { call: "put --json", purpose: "put" },
  { call: "redrive --from=file:FOLDER/f.jsonl --marks=FOLDER/marks --json", purpose: "redrive" },
  { call: "consumer list --json", purpose: "consumer" },
  {
    call: "consumer deregister x --json",
    purpose: "consumer",
    asks: permissions("consumer"),
  },
  { call: "cost --json", purpose: "doctor" },
  {
    call: "run --log=json --worker-id=x",
    purpose: "run",
    asks: ["kinesis:ListShards", "dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:UpdateItem"],
  },
];

function permissions(purpose: Purpose): readonly string[] {
  return permissionsFor({ purpose, isFanOut: false, createsTable: true }).map(({ action }) =>
    action
  );
}

/** Puts the files there that the calls name. */
async function lay(ward: Ward): Promise<void> {
  await Deno.writeTextFile(
    `${ward.folder}/some.json`,
    JSON.stringify({
      format: "kinesix-checkpoints/1",
      streamName: "S",
      shards: [{ shardId: "shardId-000000000003", checkpoint: "TRIM_HORIZON" }],
    }),
  );
  const failure = formatFailure(failedRecord({ appName: "A", streamName: "S" }));
  await Deno.writeTextFile(`${ward.folder}/f.jsonl`, `${failure}\n`);
  await Deno.writeTextFile(`${ward.folder}/marks`, "");
}

/** The sequence number of the oldest record of shard 0. */
async function firstRecord(ward: Ward): Promise<string> {
  const { stdout } = await ward.call(
    ["tail", "--shard=0", "--no-follow", "--from=trim-horizon", "--limit=1", "--json"],
  );
  return JSON.parse(stdout).sequenceNumber;
}

async function argsOf({ call }: GoodCall, ward: Ward) {
  const [name = ""] = call.split(" ");
  const text = call.replace("FIRST", call.includes("FIRST") ? await firstRecord(ward) : "")
    .replaceAll("FOLDER", ward.folder);
  return [...text.split(" "), ...["run", "replay"].includes(name) ? [PROCESSOR] : []];
}

Deno.test("denied: each permission that a command needs is named when it is missing, and is in its policy", async () => {
  await using ward = await Ward.start();
  let refusals = 0;
  for (const good of CALLS) {
    const args = await argsOf(good, ward);
    await lay(ward);
    const stdin = ["a"];
    let { asks } = good;
    if (asks === undefined) {
      const { code, stderr, asked } = await ward.call(args, { stdin });
      assertEquals(code, 0, stderr);
      asks = [...asked];
      await ward.fill();
    }
    for (const denied of asks) {
      assert(permissions(good.purpose).includes(denied), `${good.call} needs ${denied}`);
      await lay(ward);
      await assertRefused(ward, () => ward.call(args, { stdin, denied }), {
        name: `${good.call} without ${denied}`,
        says: [`the credentials lack ${denied}`],
      });
      assertEquals(await Deno.readTextFile(`${ward.folder}/marks`), "");
      refusals += 1;
    }
  }
  assert(refusals > 45, `${refusals}`);
});

Deno.test("unreachable: every command says which service it cannot reach, and where", async () => {
  await using ward = await Ward.start();
  await lay(ward);
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const nobody = `http://127.0.0.1:${taken.addr.port}`;
  taken.close();
  for (const [service, name] of [["kinesis", "Kinesis"], ["dynamodb", "DynamoDB"]] as const) {
    const concerned = CALLS.filter(({ purpose, asks }) =>
      (asks ?? permissions(purpose)).some((action) => action.startsWith(`${service}:`))
    );
    const isWithout = (call: string): boolean =>
      service === "kinesis" && /^(shard|checkpoint (list|export))/.test(call);
    const calls = concerned.filter(({ call }) => !isWithout(call));
    const all = await Promise.all(calls.map((good) => argsOf(good, ward)));
    await Promise.all(all.map((args, i) =>
      assertRefused(
        ward,
        () => ward.call([...args, `--${service}-endpoint=${nobody}`], { stdin: ["a"] }),
        {
          name: `${calls[i]?.call} without ${name}`,
          says: [`Cannot reach ${name} at ${nobody}: connection refused; check the endpoint`],
        },
      )
    ));
    assert(calls.length >= 10, `${calls.length}`);
  }
});
