/**
 * Owns: a local stack with a cluster that a bad call must leave as it is, and the call.
 * Must not: know what a call says; its table does.
 * Called by: the tests of bad input and of missing permissions.
 *
 * @module
 */

import { type AttributeValue, DeleteItemCommand, ScanCommand } from "@aws-sdk/client-dynamodb";
import { assert, assertEquals } from "@std/assert";
import { SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { main } from "../../src/cli/main.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { fakeTerminal } from "./cli_testing.ts";
import { Clinic, denied, shardRow, workerRow } from "./doctor_testing.ts";

/** What came of a call. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The operations that were asked of AWS, as `dynamodb:Query`. */
  readonly asked: ReadonlySet<string>;
}

const TABLE = "AKinesisState";

/** A processor that does nothing. */
export const PROCESSOR = "--processor=data:text/javascript,export default { process() {} };";

/**
 * The app "A" on the stream "S": shard 0 is at work on worker "w", shard 1 is finished, shard 2 is stopped by an operator, shard 3
 * is free. Worker "w2" is stopping.
 */
export class Ward implements AsyncDisposable {
  readonly clinic: Clinic;
  /** The path of a folder of its own. */
  readonly folder: string;
  readonly #front: Front;

  private constructor(clinic: Clinic, folder: string, front: Front) {
    this.clinic = clinic;
    this.folder = folder;
    this.#front = front;
  }

  static async start(): Promise<Ward> {
    const front: Front = { asked: new Set(), denied: undefined };
    const clinic = await Clinic.start({
      shards: 4,
      limits: "off",
      kinesis: ({ operation }, proceed) => {
        front.asked.add(`kinesis:${operation}`);
        if (front.denied !== `kinesis:${operation}`) return proceed();
        throw new KinesisError("AccessDeniedException", `not authorized: ${operation}`);
      },
      dynamoDB(operation) {
        front.asked.add(`dynamodb:${operation}`);
        return front.denied === `dynamodb:${operation}` ? denied(operation) : undefined;
      },
    });
    for (let i = 0; i < 8; i++) {
      clinic.kinesis.engine.call("PutRecord", {
        ...{ StreamName: "S", PartitionKey: `key-${i}`, Data: btoa("x") },
      });
    }
    const ward = new Ward(clinic, await Deno.makeTempDir(), front);
    await ward.fill();
    return ward;
  }

  /** Makes the rows, and the table if need be, as they were in the beginning. */
  async fill(): Promise<void> {
    const { client } = this.clinic;
    for (const { Stream, Row } of await this.#items() ?? []) {
      const Key = { Stream, Row } as Record<string, AttributeValue>;
      await client.send(new DeleteItemCommand({ TableName: TABLE, Key }));
    }
    const free = { owner: null, holder: null };
    await this.clinic.rows(
      { kind: "stream", id: "S", startAt: TRIM_HORIZON },
      shardRow(0),
      shardRow(1, { ...free, checkpoint: SHARD_END }),
      shardRow(2, { ...free, order: { kind: "stop", id: "1", at: Date.now() } }),
      shardRow(3, free),
      workerRow(),
      workerRow({ id: "w2", incarnation: "w2", isDraining: true }),
    );
  }

  /** The state table, byte for byte; undefined if there is none. */
  async table(): Promise<string | undefined> {
    return (await this.#items())?.map((item) => JSON.stringify(item)).sort().join("\n");
  }

  async #items(): Promise<readonly Record<string, AttributeValue>[] | undefined> {
    try {
      const { Items } = await this.clinic.client.send(new ScanCommand({ TableName: TABLE }));
      return Items ?? [];
    } catch (error) {
      if (error instanceof Error && error.name === "ResourceNotFoundException") return undefined;
      throw error;
    }
  }

  /**
   * Calls the command line in this process.
   *
   * @param args Those that are about the stack are added, unless they are among them.
   */
  async call(
    args: readonly string[],
    options: { readonly denied?: string; readonly stdin?: readonly string[] } = {},
  ): Promise<Outcome> {
    this.#front.denied = options.denied;
    this.#front.asked = new Set();
    const { asked } = this.#front;
    const terminal = fakeTerminal({ stdin: [options.stdin ?? []] });
    const code = await main([...args, ...this.#flags(args)], terminal);
    return { code, stdout: terminal.stdout(), stderr: terminal.stderr(), asked };
  }

  #flags(args: readonly string[]): readonly string[] {
    const [first = "", second = ""] = args;
    const [kinesis, dynamoDB] = [
      `--kinesis-endpoint=${this.clinic.kinesis.url}`,
      this.clinic.endpoints[1] ?? "",
    ];
    const isOfStream = ["tail", "replay", "put", "redrive", "consumer"].includes(first);
    const isOfTable = ["status", "explain", "shard"].includes(first) ||
      first === "checkpoint" && ["list", "export"].includes(second);
    const isCalling = second !== "print" && !args.some((arg) => arg.startsWith("--shards="));
    const wanted = [
      ...first === "table" || !isCalling && first === "cost" ? [] : ["--stream=S"],
      ...isOfStream || !isCalling && first === "cost" ? [] : ["--app=A"],
      ...isOfTable || !isCalling ? [] : [kinesis],
      ...isOfStream || !isCalling ? [] : [dynamoDB],
    ];
    const names = args.map((arg) => arg.split("=")[0]);
    return wanted.filter((flag) => !names.includes(flag.split("=")[0] ?? ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
    await this.clinic[Symbol.asyncDispose]();
  }
}

interface Front {
  asked: Set<string>;
  denied: string | undefined;
}

/** Makes sure that a call was refused as it should be, and changed nothing. */
export async function assertRefused(
  ward: Ward,
  call: () => Promise<Outcome>,
  { says, code = 1, name }: {
    readonly says: readonly (string | RegExp)[];
    readonly code?: number;
    readonly name: string;
  },
): Promise<void> {
  const before = await ward.table();
  const outcome = await call();
  const { stdout, stderr } = outcome;
  assertEquals(outcome.code, code, `${name}: ${stderr}`);
  assert(/^error: Cannot /m.test(stderr), `${name}: ${stderr}`);
  assert(!/^\s+at |\.ts:\d+|undefined/m.test(stderr), `${name}: no stack: ${stderr}`);
  for (const text of says) {
    const isSaid = typeof text === "string" ? stderr.includes(text) : text.test(stderr);
    assert(isSaid, `${name}: ${text} is not in: ${stderr}`);
  }
  for (const line of stdout.split("\n").filter((line) => line !== "")) JSON.parse(line);
  assertEquals(await ward.table(), before, `${name} changed the state table`);
}
