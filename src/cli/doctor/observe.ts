/**
 * Owns: what the doctor asks AWS for, and in which order. Nothing of it changes anything.
 * Must not: judge what it sees.
 * Called by: `doctor.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { DynamoLeaseStore } from "../../adapters/dynamo_lease_store.ts";
import { StreamCalls } from "../../adapters/stream_calls.ts";
import { systemClock } from "../../adapters/system.ts";
import type { ResolvedConfig } from "../../core/config.ts";
import { messageOf } from "../../errors.ts";
import type { LeaseStore } from "../../ports.ts";
import { type Permission, permissionsFor } from "../permissions.ts";
import { Asking, type Clients } from "./asking.ts";
import { type DescribeOptions, describeStream, describeTable } from "./describe.ts";
import { readLags } from "./lags.ts";
import type { Answer, Look, Observation, StreamFacts } from "./observation.ts";
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
  readonly clients: Clients;
  readonly signal: AbortSignal;
  /** The time between two looks at the rows, in milliseconds. */
  readonly looksApartMs: number;
  /** Is told how long it waits, in milliseconds, before it looks again. */
  readonly onWait?: (ms: number) => void;
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
    () => callsOf(patient, clients).listShards(signal),
  );
  const consumer = await findConsumer(patient, stream, { asking, clients, signal });
  const { failureStream } = patient;
  const failures = failureStream === undefined
    ? null
    : await describeStream(failureStream, { asking, clients, signal });
  const now = (): number => timeOf(asking);
  const rows = first?.shards ?? [];
  const lags = await readLags({ ...patient, rows, shards, now }, asking, { clients, signal });
  const seen: Observation = {
    ...patient,
    ...{ credentials, region, table, stream, shards, lags, consumer },
    failureStream: failures && { name: failureStream ?? "", facts: failures },
    now: now(),
    clockAheadMs: asking.clockAheadMs,
    services: { Kinesis: asking.answerOf("Kinesis"), DynamoDB: asking.answerOf("DynamoDB") },
    permissions: permissionsOf(patient).map((permission) => ({
      ...permission,
      answer: asking.answerTo(permission.action),
    })),
    looks: first === undefined ? [] : [first],
  };
  if (first === undefined || first.workers.length === 0) return seen;
  const waitMs = Math.max(0, lookAgainAt - performance.now());
  options.onWait?.(waitMs);
  await delay(waitMs, { signal });
  const again = await look(patient, { asking, store, signal });
  return again === undefined ? seen : { ...seen, now: now(), looks: [first, again] };
}

/** The time by AWS's clock. What it says in whole seconds is not worth correcting a good clock by. */
function timeOf({ clockAheadMs }: Asking): number {
  const isWrong = clockAheadMs !== null && Math.abs(clockAheadMs) >= CLOCK_WRONG_MS;
  return systemClock.now() - (isWrong ? clockAheadMs : 0);
}

/** Of these every try would change something: a consumer would be registered, or the shard of a worker taken from it. */
const NEVER_TRIED: readonly string[] = [
  "kinesis:RegisterStreamConsumer",
  "kinesis:SubscribeToShard",
];

/** Those of a worker that can be tried. That to put failure records cannot be, without putting one. */
function permissionsOf({ config }: Patient): readonly Permission[] {
  const isFanOut = config.retrieval === "fan-out";
  return permissionsFor({ purpose: "run", isFanOut, createsTable: false })
    .filter(({ action }) => !NEVER_TRIED.includes(action));
}

/** The registered consumer; null with polling. */
async function findConsumer(
  patient: Patient,
  stream: Answer<StreamFacts>,
  { asking, clients, signal }: DescribeOptions,
): Promise<Observation["consumer"]> {
  const { config, appName } = patient;
  if (config.retrieval !== "fan-out") return null;
  const name = config.consumerName || appName;
  if (stream.kind !== "answered") return { name, status: stream };
  const status = await asking.ask({
    service: "Kinesis",
    action: "kinesis:DescribeStreamConsumer",
    task: `look at consumer "${name}"`,
  }, async () => {
    const { arn } = stream.value;
    return (await callsOf(patient, clients).findConsumer(arn, name, signal))?.status ?? null;
  });
  return { name, status };
}

async function identity(
  { kinesis }: Clients,
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
    permissions: permissionsOf(patient).map((permission) => ({ ...permission, answer })),
    consumer: null,
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

function storeOf({ config, streamName, tableName }: Patient, clients: Clients): LeaseStore {
  const client = clients.dynamoDB;
  // Asking tries again by itself.
  const once = { ...config, maxDynamoDBRetries: 0 };
  return new DynamoLeaseStore({ client, tableName, streamName, config: once, clock: systemClock });
}

function callsOf({ config, streamName }: Patient, clients: Clients): StreamCalls {
  const once = { ...config, maxKinesisRetries: 0 };
  return new StreamCalls({ client: clients.kinesis, streamName, config: once, emit: () => {} });
}
