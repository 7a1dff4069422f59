/**
 * Owns: `kinesix tail`: the records of a stream as they come, as text or JSON.
 * Must not: touch a state table, or read more than whoever reads the output takes.
 * Called by: `commands/watch_commands.ts`.
 *
 * @module
 */

import { connectAws } from "../adapters/aws_calls.ts";
import { KinesisPollingSource } from "../adapters/kinesis_polling.ts";
import { systemClock } from "../adapters/system.ts";
import type { AppFact } from "../events.ts";
import type { ShardInfo, StreamSource } from "../ports.ts";
import { parsePosition, type Position } from "./checkpoints/position.ts";
import { connection } from "./connection.ts";
import { patiently } from "./patience.ts";
import { recordFilter, recordJson, recordLine } from "./record_text.ts";
import { shardIdOf } from "./shard.ts";
import { listenForStop } from "./stop_signals.ts";
import { type FollowedRecord, StreamFollower } from "./stream_follower.ts";
import { printable, type Terminal, wantsColor } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** One of the five reads that a shard allows in a second is enough where nothing comes. */
const EMPTY_RECEIVE_DELAY_MS = 1_000;
const RETRIES = 10;
/** Who begins waits less: what cannot be reached then is more likely a wrong place. */
const FIRST_RETRIES = 3;
/** The records that all shards together bring at once, and the least and the most of one of them. */
const RECORDS_IN_HAND = 20_000;
const [BATCH_MIN, BATCH_MAX] = [50, 2_000];
/** Clocks differ a little. */
const AHEAD_MAX_MS = 300_000;
/** Between two words on the same trouble. */
const TOLD_EVERY_MS = 60_000;

/** Shows the records of a stream, until it is stopped or nobody reads any more. */
export async function tail(values: Values, terminal: Terminal): Promise<number> {
  using signals = listenForStop();
  const from = positionOf(values);
  const filter = values.text("filter");
  const isWanted = filter === undefined ? () => true : recordFilter(filter);
  const startedAt = systemClock.now();
  const clients = connectAws(connection(values, terminal, ["kinesis"]));
  try {
    const config = { emptyReceiveDelay: EMPTY_RECEIVE_DELAY_MS, maxKinesisRetries: RETRIES };
    const common = {
      client: await clients.kinesis(),
      streamName: values.need("stream"),
      clock: systemClock,
    };
    const emit = tellThrottling(terminal);
    const lister = new KinesisPollingSource({
      ...{ ...common, emit },
      config: { ...config, maxKinesisRetries: FIRST_RETRIES, maxBatchSize: BATCH_MAX },
    });
    const shards = await patiently(chooseShards(lister, values, signals.signal), {
      ...{ values, terminal, services: ["kinesis"] },
    });
    const share = Math.floor(RECORDS_IN_HAND / Math.max(1, shards.length));
    const maxBatchSize = Math.min(BATCH_MAX, Math.max(BATCH_MIN, share));
    const source = new KinesisPollingSource({
      ...{ ...common, emit, config: { ...config, maxBatchSize } },
    });
    const isOneShard = values.text("shard") !== undefined;
    await using follower = new StreamFollower({
      ...{ source, shards, from, startedAt },
      isFollowing: !values.isOn("no-follow"),
      hasChildren: !isOneShard,
      onEnd: (shardId, children) => {
        if (isOneShard) terminal.say(printable(endText(shardId, children)));
      },
    });
    await show(follower.records(signals.signal), isWanted, { values, terminal });
    return 0;
  } catch (error) {
    // As with `| head`: whoever reads has seen enough.
    if (error instanceof Deno.errors.BrokenPipe || signals.signal.aborted) return 0;
    throw error;
  } finally {
    clients.close();
  }
}

function positionOf(values: Values): Position {
  const text = values.need("from");
  const position = parsePosition(text, systemClock.now());
  if (position === undefined) {
    throw new UsageError(`Cannot use --from "${text}": it is no position`);
  }
  if (position.kind === "sequence" && values.text("shard") === undefined) {
    throw new UsageError(
      "Cannot use a sequence number as --from without --shard: it is a position in one shard",
    );
  }
  if (position.kind === "timestamp" && position.timestamp > systemClock.now() + AHEAD_MAX_MS) {
    throw new UsageError(`Cannot tail from ${text}: that is in the future`);
  }
  return position;
}

/** The shards to begin with: the one that was asked for, or all that may have records after the position. */
async function chooseShards(
  source: StreamSource,
  values: Values,
  signal: AbortSignal,
): Promise<readonly ShardInfo[]> {
  const shards = await source.listShards(signal);
  const name = values.text("shard");
  if (name === undefined) {
    // What is closed by now has nothing that comes from now on.
    const isFromNow = values.need("from").toLowerCase() === "latest";
    return isFromNow ? shards.filter(({ isClosed }) => !isClosed) : shards;
  }
  const shardId = shardIdOf(name);
  const shard = shards.find(({ id }) => id === shardId);
  if (shard !== undefined) return [shard];
  throw new RangeError(
    `Cannot tail shard "${shardId}": stream "${values.need("stream")}" has no shard of that name`,
  );
}

async function show(
  batches: AsyncIterable<readonly FollowedRecord[]>,
  isWanted: (record: FollowedRecord) => boolean,
  { values, terminal }: { readonly values: Values; readonly terminal: Terminal },
): Promise<void> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  const isJson = values.isOn("json");
  let left = Number(values.text("limit") ?? Infinity);
  for await (const records of batches) {
    const wanted = records.filter(isWanted).slice(0, left);
    if (wanted.length === 0) continue;
    await terminal.write(
      wanted.map((record) => isJson ? recordJson(record) : recordLine(record, paint)).join(""),
    );
    left -= wanted.length;
    if (left === 0) return;
  }
}

function endText(shardId: string, children: readonly string[]): string {
  return children.length === 0
    ? `note: shard ${shardId} has no more records`
    : `note: shard ${shardId} was split or merged; its keys go on in ${children.join(", ")}`;
}

/** Tells now and then that the stream is read too often. */
function tellThrottling(terminal: Terminal): (fact: AppFact) => void {
  let toldAt = -Infinity;
  return (fact) => {
    if (fact.type !== "throttled" || performance.now() - toldAt < TOLD_EVERY_MS) return;
    toldAt = performance.now();
    terminal.say(
      "note: Kinesis throttles the reading; the consumers of a shard share 5 reads and 2 MB a second",
    );
  };
}
