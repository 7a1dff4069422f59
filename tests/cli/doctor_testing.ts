/**
 * Owns: a local stack that can be broken in every way that the doctor knows, and rows without workers.
 * Must not: assert what the doctor finds.
 * Called by: the tests of `kinesix doctor`.
 *
 * @module
 */

import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { assertEquals } from "@std/assert";
import { DynamoLeaseStore } from "../../src/adapters/dynamo_lease_store.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { main } from "../../src/cli/main.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { Row, ShardRow, WorkerRow } from "../../src/core/lease.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import type { Intercept } from "../../src/local/kinesis_protocol.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { fakeTerminal } from "./cli_testing.ts";

/** What is printed with `--json`. */
export interface DoctorReport {
  readonly isSound: boolean;
  readonly checks: readonly {
    readonly check: string;
    readonly verdict: string;
    readonly what: string;
    readonly meaning: string | null;
    readonly remedy: string | null;
  }[];
}

/** Stands before the local DynamoDB. Gives an answer instead of it, or nothing. */
export type DynamoHook = (operation: string) => Response | undefined | Promise<void>;

export interface ClinicOptions {
  /** @default {2} */
  readonly shards?: number;
  readonly kinesis?: Intercept;
  readonly dynamoDB?: DynamoHook;
  /** By how much the clock of DynamoDB differs from that of this machine. */
  readonly dateOffsetMs?: number;
  /** Whether a shard is read as often as one likes. */
  readonly limits?: "off";
  /** What time it is at Kinesis. */
  readonly kinesisNow?: () => number;
}

/** The refusal of a service that does not let the caller do it. */
export function denied(operation: string): Response {
  return refusal(
    "AccessDeniedException",
    `User: arn:aws:iam::1:user/x is not authorized to perform: ${operation}`,
  );
}

/** Any refusal of DynamoDB. */
export function refusal(name: string, message: string): Response {
  const type = `com.amazon.coral.service#${name}`;
  return Response.json({ __type: type, message }, {
    status: 400,
    headers: { "content-type": "application/x-amz-json-1.0" },
  });
}

/** The same of the local Kinesis. */
export function deny(...operations: readonly string[]): Intercept {
  return ({ operation }, proceed) => {
    if (!operations.includes(operation)) return proceed();
    throw new KinesisError("AccessDeniedException", `not authorized to perform ${operation}`);
  };
}

/** An app "A" on a stream "S". */
export class Clinic implements AsyncDisposable {
  readonly #disposal: AsyncDisposableStack;
  readonly kinesis: LocalKinesis;
  readonly client: DynamoDBClient;
  readonly store: DynamoLeaseStore;
  readonly #dynamoDBUrl: string;

  private constructor(
    disposal: AsyncDisposableStack,
    parts: Pick<Clinic, "kinesis" | "client" | "store"> & { readonly dynamoDBUrl: string },
  ) {
    this.#disposal = disposal;
    this.kinesis = parts.kinesis;
    this.client = parts.client;
    this.store = parts.store;
    this.#dynamoDBUrl = parts.dynamoDBUrl;
  }

  /** Starts the stack, with a stream and without a table. */
  static async start(options: ClinicOptions = {}): Promise<Clinic> {
    await using disposal = new AsyncDisposableStack();
    const kinesis = disposal.use(serveLocalKinesis({
      port: 0,
      ...options.kinesis && { intercept: options.kinesis },
      ...options.limits && { limits: options.limits },
      ...options.kinesisNow && { now: options.kinesisNow },
    }));
    const dynamoDB = disposal.use(await startLocalDynamoDB({ port: 0 }));
    kinesis.engine.call("CreateStream", { StreamName: "S", ShardCount: options.shards ?? 2 });
    const client = new DynamoDBClient({
      endpoint: dynamoDB.url,
      region: "us-east-1",
      credentials: { accessKeyId: "local", secretAccessKey: "local" },
    });
    disposal.defer(() => client.destroy());
    const store = new DynamoLeaseStore({
      client,
      tableName: "AKinesisState",
      streamName: "S",
      config: resolveConfig(),
      clock: systemClock,
    });
    const dynamoDBUrl = stand(disposal, dynamoDB.url, options);
    return new Clinic(disposal.move(), { kinesis, client, store, dynamoDBUrl });
  }

  get endpoints(): readonly string[] {
    return [`--kinesis-endpoint=${this.kinesis.url}`, `--dynamodb-endpoint=${this.#dynamoDBUrl}`];
  }

  /** Creates the table and puts rows into it. */
  async rows(...rows: readonly Row[]): Promise<void> {
    const { signal } = new AbortController();
    await this.store.prepare(signal);
    for (const { kind, id, ...set } of rows) {
      const { kind: outcome } = await this.store.write(
        { kind, id, expect: "no row", set } as Parameters<DynamoLeaseStore["write"]>[0],
        signal,
      );
      assertEquals(outcome, "written");
    }
  }

  /** Examines it; gives what the doctor says. */
  async examine(...args: readonly string[]): Promise<DoctorReport> {
    const { code, stdout, stderr } = await this.run(...args, "--json");
    const report = stdout === "" ? undefined : JSON.parse(stdout) as DoctorReport;
    if (report === undefined) throw new Error(stderr);
    assertEquals(code, report.isSound ? 0 : 1);
    return report;
  }

  /** Examines it; gives what it prints. */
  async run(...args: readonly string[]): Promise<{
    readonly code: number;
    readonly stdout: string;
    readonly stderr: string;
  }> {
    const terminal = fakeTerminal();
    const isNamed = (flag: string) => args.some((arg) => arg.split("=")[0] === flag.split("=")[0]);
    const endpoints = this.endpoints.filter((flag) => !isNamed(flag));
    const call = ["doctor", "--app=A", "--stream=S", "--looks-apart=50ms", ...endpoints, ...args];
    const code = await main(call, terminal);
    return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposal.disposeAsync();
  }
}

/** What is not well, by the name of the check: the verdict and what is so. */
export function ills(report: DoctorReport): Readonly<Record<string, string>> {
  const found = report.checks.filter(({ verdict }) => verdict !== "ok");
  for (const { verdict, meaning, remedy, check } of found) {
    const isExplained = verdict === "unknown" || meaning !== null && remedy !== null;
    assertEquals(isExplained, true, check);
  }
  return Object.fromEntries(
    found.map(({ check, verdict, what }) => [check, `${verdict}: ${what}`]),
  );
}

/** The id of a shard. */
export function shardId(i: number): string {
  return `shardId-${String(i).padStart(12, "0")}`;
}

/** A shard that worker "w" is at work on. */
export function shardRow(i: number, changes: Partial<ShardRow> = {}): ShardRow {
  return {
    kind: "shard",
    id: shardId(i),
    owner: "w",
    holder: "w1",
    previousOwner: null,
    term: 1,
    checkpoint: { kind: "trimHorizon" },
    checkpointAt: null,
    millisBehindLatest: null,
    parents: [],
    hashKeyRange: null,
    stoppedBy: [],
    handover: null,
    because: "free",
    order: null,
    state: null,
    ...changes,
  };
}

/** Worker "w", whose heartbeat was a moment ago. */
export function workerRow(changes: Partial<WorkerRow> = {}): WorkerRow {
  return {
    kind: "worker",
    id: "w",
    incarnation: "w1",
    beat: 1,
    beatAt: Date.now(),
    heartbeatTimeout: 180_000,
    attention: null,
    shards: 2,
    isDraining: false,
    version: "0.1.0",
    ...changes,
  };
}

/** A proxy before DynamoDB. */
function stand(disposal: AsyncDisposableStack, url: string, options: ClinicOptions): string {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const operation = request.headers.get("x-amz-target")?.split(".").at(-1) ?? "";
      const body = await request.text();
      const instead = await options.dynamoDB?.(operation);
      const answer = instead ??
        await fetch(url, { method: "POST", headers: request.headers, body });
      const headers = new Headers(answer.headers);
      headers.delete("content-length");
      const date = new Date(Date.now() + (options.dateOffsetMs ?? 0));
      headers.set("date", date.toUTCString());
      return new Response(await answer.text(), { status: answer.status, headers });
    },
  );
  disposal.defer(() => server.shutdown());
  return `http://127.0.0.1:${server.addr.port}`;
}
