/**
 * Owns: how old the oldest record of a shard is that is not finished: one read after its checkpoint.
 * Must not: judge it.
 * Called by: `observe.ts`.
 *
 * @module
 */

import { GetRecordsCommand, GetShardIteratorCommand } from "@aws-sdk/client-kinesis";
import { withoutRetries } from "../../adapters/aws_calls.ts";
import { toIteratorStart } from "../../adapters/kinesis_shapes.ts";
import { type Checkpoint, TRIM_HORIZON } from "../../core/checkpoint.ts";
import { isEnded, type ShardRow } from "../../core/lease.ts";
import type { ShardInfo } from "../../ports.ts";
import type { Asking, Clients } from "./asking.ts";
import type { Answer, ShardLag } from "./observation.ts";

/** Of which shards. */
export interface LagsOf {
  readonly streamName: string;
  readonly rows: readonly ShardRow[];
  readonly shards: Answer<readonly ShardInfo[]>;
  /** The time by AWS's clock, in milliseconds since the epoch. */
  readonly now: () => number;
}

/** Tells how old the first record after a position is; null if there is none. */
type ReadAfter = (shardId: string, after: Checkpoint) => Promise<Answer<number | null>>;

/** Those whose checkpoints are oldest: a read of a shard takes one of the five a second that its consumers have. */
const SHARDS_READ_MAX = 100;
const READS_AT_ONCE_MAX = 5;

/** Reads the shards that are furthest behind, as far as their rows say. */
export async function readLags(
  of: LagsOf,
  asking: Asking,
  aws: { readonly clients: Clients; readonly signal: AbortSignal },
): Promise<Answer<readonly ShardLag[]>> {
  const listed = new Set(of.shards.kind === "answered" ? of.shards.value.map(({ id }) => id) : []);
  const rows = of.rows.filter((row) => !isEnded(row) && listed.has(row.id))
    .toSorted((a, b) => (positionAt(a) ?? 0) - (positionAt(b) ?? 0));
  const read = reader(of, asking, aws);
  if (rows.length === 0) {
    // Nothing is finished anywhere; whether it may be read is asked for all the same.
    const [shardId = "shardId-000000000000"] = listed;
    await read(shardId, TRIM_HORIZON);
    return { kind: "answered", value: [] };
  }
  const answers: Answer<ShardLag>[] = [];
  const chosen = rows.slice(0, SHARDS_READ_MAX);
  for (let i = 0; i < chosen.length; i += READS_AT_ONCE_MAX) {
    const some = chosen.slice(i, i + READS_AT_ONCE_MAX);
    answers.push(...await Promise.all(some.map((row) => lagOf(row, read))));
  }
  const failed = answers.find((answer) => answer.kind !== "answered");
  return failed ?? {
    kind: "answered",
    value: answers.flatMap((answer) => answer.kind === "answered" ? [answer.value] : []),
  };
}

async function lagOf(row: ShardRow, read: ReadAfter): Promise<Answer<ShardLag>> {
  const age = await read(row.id, row.checkpoint);
  if (age.kind !== "answered") return age;
  const lag = { shardId: row.id, ageMs: age.value, positionAt: positionAt(row) };
  return { kind: "answered", value: lag };
}

/** When the last finished record arrived, about. */
function positionAt({ checkpoint, checkpointAt, millisBehindLatest }: ShardRow): number | null {
  if (checkpoint.kind === "timestamp") return checkpoint.timestamp;
  return checkpointAt === null ? null : checkpointAt - (millisBehindLatest ?? 0);
}

function reader(
  { streamName, now }: LagsOf,
  asking: Asking,
  { clients, signal }: { readonly clients: Clients; readonly signal: AbortSignal },
): ReadAfter {
  const { kinesis } = clients;
  return async (shardId, after) => {
    if (after.kind === "shardEnd") return { kind: "answered", value: null };
    const question = { service: "Kinesis", task: `read shard "${shardId}"` } as const;
    const iterator = await asking.ask(
      { ...question, action: "kinesis:GetShardIterator" },
      () => {
        const input = { StreamName: streamName, ShardId: shardId, ...toIteratorStart(after) };
        const command = withoutRetries(new GetShardIteratorCommand(input));
        return kinesis.send(command, { abortSignal: signal });
      },
    );
    if (iterator.kind !== "answered") return iterator;
    const { ShardIterator } = iterator.value;
    return await asking.ask({ ...question, action: "kinesis:GetRecords" }, async () => {
      const command = withoutRetries(new GetRecordsCommand({ ShardIterator, Limit: 1 }));
      const reply = await kinesis.send(command, { abortSignal: signal });
      const arrivedAt = reply.Records?.[0]?.ApproximateArrivalTimestamp?.getTime();
      if (arrivedAt !== undefined) return Math.max(0, now() - arrivedAt);
      return reply.MillisBehindLatest || null;
    });
  };
}
