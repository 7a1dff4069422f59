/**
 * Owns: what the doctor asks AWS for, and in which order. Nothing of it changes anything.
 * Must not: judge what it sees.
 * Called by: `doctor.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import type { AwsClients } from "../../adapters/aws_calls.ts";
import { DynamoLeaseStore } from "../../adapters/dynamo_lease_store.ts";
import { KinesisPollingSource } from "../../adapters/kinesis_polling.ts";
import { systemClock } from "../../adapters/system.ts";
import type { ResolvedConfig } from "../../core/config.ts";
import { messageOf } from "../../errors.ts";
import type { LeaseStore } from "../../ports.ts";
import { permissionsFor } from "../permissions.ts";
import { Asking } from "./asking.ts";
import { describeStream, describeTable } from "./describe.ts";
import { readLags } from "./lags.ts";
import type { Answer, Look, Observation } from "./observation.ts";
import { tryWrites } from "./writes.ts";

/** What is to be looked at. */
export interface Patient {
  readonly appName: string;
  readonly streamName: string;
  readonly tableName: string;
  readonly failureStream: string | undefined;
  readonly config: ResolvedConfig;
}

/** How it is looked at. */
export interface ObserveOptions {
  readonly clients: AwsClients;
  readonly signal: AbortSignal;
  /** The time between two looks at the rows, in milliseconds. */
  readonly looksApartMs: number;
}

const CLOCK_WRONG_MS = 5_000;

/** Looks at everything. */
export async function observe(patient: Patient, options: ObserveOptions): Promise<Observation> {
  const { clients, signal } = options;
  const asking = new Asking(clients, signal);
  const [credentials, region] = await identity(clients);
  if (credentials.kind !== "answered" || region.kind !== "answered") {
    const why = credentials.kind === "answered" ? "no region is set" : "there are no credentials";
    return unasked(patient, { credentials, region, why });
  }
  const table = await describeTable(patient.tableName, { asking, clients, signal });
  const store = storeOf(patient, clients);
  const lookAgainAt = performance.now() + options.looksApartMs;
  const first = await look(patient, { asking, store, signal });
  await tryWrites(patient, asking, clients.dynamoDB);
  const stream = await describeStream(patient.streamName, { asking, clients, signal });
  const shards = await asking.ask(
    {
      service: "Kinesis",
      action: "kinesis:ListShards",
      task: `read stream "${patient.streamName}"`,
    },
    () => sourceOf(patient, clients).listShards(signal),
  );
  const { failureStream } = patient;
  const failures = failureStream === undefined
    ? null
    : await describeStream(failureStream, { asking, clients, signal });
  const now = (): number => timeOf(asking);
  const rows = first?.shards ?? [];
  const lags = await readLags({ ...patient, rows, shards, now }, asking, { clients, signal });
  const seen: Observation = {
    ...patient,
    ...{ credentials, region, table, stream, shards, lags },
    failureStream: failures && { name: failureStream ?? "", facts: failures },
    now: now(),
    clockAheadMs: asking.clockAheadMs,
    services: { Kinesis: asking.answerOf("Kinesis"), DynamoDB: asking.answerOf("DynamoDB") },
    permissions: permissionsOf(asking),
    looks: first === undefined ? [] : [first],
  };
  if (first === undefined || first.workers.length === 0) return seen;
  await delay(Math.max(0, lookAgainAt - performance.now()), { signal });
  const again = await look(patient, { asking, store, signal });
  return again === undefined ? seen : { ...seen, now: now(), looks: [first, again] };
}

/** The time by AWS's clock. What it says in whole seconds is not worth correcting a good clock by. */
function timeOf({ clockAheadMs }: Asking): number {
  const isWrong = clockAheadMs !== null && Math.abs(clockAheadMs) >= CLOCK_WRONG_MS;
  return systemClock.now() - (isWrong ? clockAheadMs : 0);
}

/** Those of a worker. That to put failure records cannot be tried without putting one. */
function permissionsOf(asking: Asking): Observation["permissions"] {
  return permissionsFor({ purpose: "run", isFanOut: false, createsTable: false })
    .map((permission) => ({ ...permission, answer: asking.answerTo(permission.action) }));
}

async function identity(
  { kinesis }: AwsClients,
): Promise<readonly [Answer<unknown>, Answer<string>]> {
  const attempt = async <T>(what: () => Promise<T>): Promise<Answer<T>> => {
    try {
      return { kind: "answered", value: await what() };
    } catch (error) {
      return { kind: "failed", failure: "credentials", message: messageOf(error) };
    }
  };
  return [
    // Not who it is: that is nobody's business, and the credentials themselves least of all.
    await attempt(async () => void await kinesis.config.credentials()),
    await attempt(() => kinesis.config.region()),
  ];
}

function unasked(
  patient: Patient,
  known: Pick<Observation, "credentials" | "region"> & { readonly why: string },
): Observation {
  const { why, ...rest } = known;
  const answer = { kind: "notAsked", why } as const;
  const { failureStream } = patient;
  return {
    ...patient,
    ...rest,
    failureStream: failureStream === undefined ? null : { name: failureStream, facts: answer },
    now: systemClock.now(),
    clockAheadMs: null,
    services: { Kinesis: answer, DynamoDB: answer },
    permissions: permissionsFor({ purpose: "run", isFanOut: false, createsTable: false })
      .map((permission) => ({ ...permission, answer })),
    ...{ stream: answer, shards: answer, lags: answer, table: answer },
    looks: [],
  };
}

/** Reads the rows; undefined if that is not possible. A single row is read too, which is a permission of its own. */
async function look(
  { streamName, tableName }: Patient,
  options: { readonly asking: Asking; readonly store: LeaseStore; readonly signal: AbortSignal },
): Promise<Look | undefined> {
  const { asking, store, signal } = options;
  const task = `read state table "${tableName}"`;
  const query = { service: "DynamoDB", action: "dynamodb:Query", task } as const;
  const shards = await asking.ask(query, () => store.list("shard", signal));
  // After the shards, so that whoever owns one of them has been read, unless it left.
  const workers = await asking.ask(query, () => store.list("worker", signal));
  await asking.ask(
    { ...query, action: "dynamodb:GetItem" },
    () => store.read("stream", streamName, signal),
  );
  if (shards.kind !== "answered" || workers.kind !== "answered") return undefined;
  const malformed = [["shard", shards.value], ["worker", workers.value]] as const;
  return {
    workers: workers.value.rows,
    shards: shards.value.rows,
    malformed: malformed.flatMap(([kind, listing]) =>
      listing.malformed.map(({ id, reason }) => ({ row: `${kind}/${id}`, reason }))
    ),
  };
}

function storeOf({ config, streamName, tableName }: Patient, clients: AwsClients): LeaseStore {
  const client = clients.dynamoDB;
  // Asking tries again by itself.
  const once = { ...config, maxDynamoDBRetries: 0 };
  return new DynamoLeaseStore({ client, tableName, streamName, config: once, clock: systemClock });
}

function sourceOf({ config, streamName }: Patient, clients: AwsClients): KinesisPollingSource {
  return new KinesisPollingSource({
    client: clients.kinesis,
    streamName,
    config: { ...config, maxKinesisRetries: 0 },
    clock: systemClock,
    emit: () => {},
  });
}
