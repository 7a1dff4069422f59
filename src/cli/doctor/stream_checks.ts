/**
 * Owns: the checks of the stream: whether it is there, whole, and kept for long enough.
 * Must not: call anything.
 * Called by: `checks.ts`.
 *
 * @module
 */

import { coverageOf } from "../../core/key_space.ts";
import { count } from "../event_text.ts";
import { rough } from "./access_checks.ts";
import {
  type Answer,
  type Check,
  type Finding,
  names,
  type Observation,
  ok,
  type ShardLag,
  type StreamFacts,
  unknown,
} from "./observation.ts";

const STREAM: Check = {
  name: "stream",
  judge({ stream, shards, streamName }) {
    // Whoever may only consume it may not describe it; that its shards are listed says that it is there.
    if (stream.kind === "failed" && stream.failure === "denied" && shards.kind === "answered") {
      return {
        ...unknown(stream),
        remedy:
          "it is there; for its state and its retention the doctor (not a worker) also needs " +
          "kinesis:DescribeStreamSummary: kinesix iam print --command doctor",
      };
    }
    return judgeStream(streamName, stream, "no record is read");
  },
};

const FAILURE_STREAM: Check = {
  name: "stream of the failure records",
  judge({ failureStream }) {
    if (failureStream === null) return undefined;
    const { name, facts } = failureStream;
    const meaning = "records that are given up wait, and their shards with them";
    return judgeStream(name, facts, meaning);
  },
};

const CONSUMER: Check = {
  name: "registered consumer",
  judge({ consumer, streamName }) {
    if (consumer === null) return undefined;
    const { name, status } = consumer;
    if (status.kind !== "answered") return unknown(status);
    if (status.value === "ACTIVE") return ok(`"${name}" is ACTIVE`);
    if (status.value !== null) {
      return {
        verdict: "warning",
        what: `consumer "${name}" is ${status.value}`,
        meaning: "workers wait until it is ACTIVE",
        remedy: `kinesix consumer list --stream ${streamName} shows it; it takes seconds`,
      };
    }
    return {
      verdict: "warning",
      what: `stream "${streamName}" has no consumer "${name}"`,
      meaning:
        "the first worker registers it, which needs kinesis:RegisterStreamConsumer; that cannot " +
        "be tried, and a stream has 20 consumers at most",
      remedy:
        `start a worker; or check --consumer-name: kinesix consumer list --stream ${streamName}`,
    };
  },
};

function judgeStream(name: string, facts: Answer<StreamFacts>, meaning: string): Finding {
  if (facts.kind === "failed" && facts.failure === "missing") {
    const remedy =
      `check --stream, --region and the account; aws kinesis describe-stream-summary ` +
      `--stream-name ${name}`;
    return { verdict: "problem", what: `there is no stream "${name}"`, meaning, remedy };
  }
  if (facts.kind !== "answered") return unknown(facts);
  const { status, mode } = facts.value;
  // A stream that is split or merged is read and written as ever.
  if (status === "ACTIVE" || status === "UPDATING") return ok(`${status}, ${mode}`);
  return {
    verdict: status === "CREATING" ? "warning" : "problem",
    what: `stream "${name}" is ${status}`,
    meaning,
    remedy: status === "CREATING"
      ? "wait until it is ACTIVE"
      : "create it again, or use another one",
  };
}

const HASH_KEYS: Check = {
  name: "hash keys",
  judge({ shards, stream }) {
    if (shards.kind !== "answered") return unknown(shards);
    const open = shards.value.filter(({ isClosed }) => !isClosed);
    const ranges = open.flatMap(({ id, hashKeyRange }) =>
      hashKeyRange === null ? [] : [{ id, ...hashKeyRange }]
    );
    const { holes, overlaps } = coverageOf(ranges);
    if (holes.length === 0 && overlaps.length === 0) {
      return ok(`${count(open.length, "open shard")} cover each hash key once`);
    }
    const what = [
      ...holes.map(({ start, end }) => `no open shard has the hash keys ${start} to ${end}`),
      ...overlaps.map(([one, other]) => `${one} and ${other} have hash keys in common`),
    ];
    const isChanging = stream.kind === "answered" && stream.value.status === "UPDATING";
    return {
      verdict: isChanging ? "warning" : "problem",
      what: names(what),
      meaning:
        "what is put with such a key is not in any shard that the listing shows, or its order " +
        "is lost",
      remedy: isChanging
        ? "the stream is being split or merged: look again in a minute"
        : "look again in a minute: a listing may be old; if it stays, it is for AWS Support",
    };
  },
};

/** What passes these shares of the retention is told; the last one is where records begin to fall out. */
const WARNING_SHARE = 0.5;
const PROBLEM_SHARE = 0.8;
const EDGE_SHARE = 0.95;

const RETENTION: Check = {
  name: "lag and retention",
  judge(seen) {
    const { lags, stream, looks } = seen;
    if (lags.kind !== "answered") return looks.length === 0 ? undefined : unknown(lags);
    if (stream.kind !== "answered") return unknown(stream);
    const { retentionMs } = stream.value;
    const lost = lags.value.filter((lag) => hasLost(lag, seen.now - retentionMs, retentionMs));
    if (lost.length > 0) {
      return {
        verdict: "problem",
        what: `the checkpoints of ${
          names(lost.map(({ shardId }) => shardId))
        } are older than the ` +
          `${
            rough(retentionMs)
          } that the stream keeps, and so are the oldest records that are left`,
        meaning: "records between the two have left the stream unprocessed; more follow",
        remedy:
          `${keepLonger(seen)}; then add workers, or find out why those shards stand still: ` +
          `kinesix status --app ${seen.appName} --stream ${seen.streamName}`,
      };
    }
    return judgeLag(lags.value, retentionMs, seen);
  },
};

function judgeLag(
  lags: readonly ShardLag[],
  retentionMs: number,
  seen: Observation,
): Finding {
  const late = lags.filter(({ ageMs }) => (ageMs ?? 0) >= WARNING_SHARE * retentionMs);
  const worstMs = Math.max(0, ...lags.map(({ ageMs }) => ageMs ?? 0));
  const share = `${Math.round(100 * worstMs / retentionMs)} % of the ${rough(retentionMs)}`;
  if (late.length === 0) {
    return ok(`the oldest record that is not finished has used ${share} that the stream keeps it`);
  }
  return {
    verdict: worstMs >= PROBLEM_SHARE * retentionMs ? "problem" : "warning",
    what:
      `${names(late.map(({ shardId }) => shardId))}: the oldest record that is not finished is ` +
      `${rough(worstMs)} old, ${share} that the stream keeps it`,
    meaning: `in ${rough(retentionMs - worstMs)} it leaves the stream unprocessed`,
    remedy: `${keepLonger(seen)}; then add workers, or raise --concurrency`,
  };
}

function keepLonger({ streamName }: Observation): string {
  return `aws kinesis increase-stream-retention-period --stream-name ${streamName} ` +
    `--retention-period-hours 168`;
}

/** An idle shard has an old checkpoint too; only what is left after it says that something is gone. */
function hasLost({ ageMs, positionAt }: ShardLag, horizon: number, retentionMs: number): boolean {
  return positionAt !== null && positionAt < horizon && ageMs !== null &&
    ageMs >= EDGE_SHARE * retentionMs;
}

/** The stream. */
export const STREAM_CHECKS: readonly Check[] = [
  STREAM,
  CONSUMER,
  FAILURE_STREAM,
  HASH_KEYS,
  RETENTION,
];
