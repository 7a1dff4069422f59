/**
 * Owns: the checks of the cluster: workers that live, die, differ or fight; shards without an owner, stopped, or on their way.
 * Must not: call anything, or decide who takes what.
 * Called by: `checks.ts`.
 *
 * @module
 */

import { isEnded, isHalted, type WorkerRow } from "../../core/lease.ts";
import { clusterStatus, type ShardState } from "../../core/status.ts";
import { rough } from "./access_checks.ts";
import { type Check, type Finding, type Look, names, type Observation, ok } from "./observation.ts";

/** The last look at the rows. */
export function lastLook({ looks }: Observation): Look | undefined {
  return looks.at(-1);
}

/** The workers that seem alive: whose heartbeat is young by AWS's clock, or moved between two looks, whatever their clock says. */
export function livingWorkers(seen: Observation): ReadonlySet<string> {
  const before = beatsOf(seen.looks.at(-2));
  const workers = lastLook(seen)?.workers ?? [];
  const living = workers.filter((row) => {
    const beat = before.get(row.id);
    return seen.now - row.beatAt < row.heartbeatTimeout ||
      beat !== undefined && beat !== beatOf(row);
  });
  return new Set(living.map(({ id }) => id));
}

function beatsOf(look: Look | undefined): ReadonlyMap<string, string> {
  return new Map(look?.workers.map((row) => [row.id, beatOf(row)]));
}

function beatOf({ incarnation, beat }: WorkerRow): string {
  return `${incarnation} ${beat}`;
}

/** A check that needs rows to look at. */
function ofRows(
  name: string,
  judge: (look: Look, living: ReadonlySet<string>, seen: Observation) => Finding | undefined,
): Check {
  return {
    name,
    judge(seen) {
      const look = lastLook(seen);
      return look && judge(look, livingWorkers(seen), seen);
    },
  };
}

function command(seen: Observation, text: string): string {
  return `kinesix ${text} --app ${seen.appName} --stream ${seen.streamName}`;
}

const WORKERS = ofRows("workers", (look, living, seen) => {
  if (living.size > 0) return ok(`${living.size} seem alive`);
  const last = look.workers.toSorted((a, b) => b.beatAt - a.beatAt)[0];
  const isNew = look.shards.length === 0;
  return {
    verdict: isNew ? "warning" : "problem",
    what: last === undefined
      ? "no worker runs"
      : `no worker is alive; "${last.id}" was the last one, ${rough(seen.now - last.beatAt)} ago`,
    meaning: isNew
      ? "nothing is processed yet"
      : "nothing is processed, and records leave the stream when its retention is over",
    remedy: `start one: ${command(seen, "run")} --processor FILE`,
  };
});

const SILENT = ofRows("silent workers", (look, living, seen) => {
  // With nobody alive that is the finding, and nobody removes the rows.
  if (living.size === 0) return undefined;
  const silent = look.workers.filter(({ id }) => !living.has(id));
  if (silent.length === 0) return ok("none");
  const what = silent.map((row) => `"${row.id}" for ${rough(seen.now - row.beatAt)}`);
  return {
    verdict: "warning",
    what: `without a heartbeat are ${names(what)}`,
    meaning: "they died, hang or cannot write the state table; the others take their shards, and " +
      "remove their rows within their time-out",
    remedy: "look at their logs, and whether they reach DynamoDB",
  };
});

const NAMESAKES = ofRows("worker ids", (look, living, { looks }) => {
  const first = looks.length > 1 ? looks[0] : undefined;
  const incarnations = new Map(first?.workers.map((row) => [row.id, row.incarnation]));
  const changed = look.workers.filter(({ id, incarnation }) =>
    living.has(id) && (incarnations.get(id) ?? incarnation) !== incarnation
  );
  if (changed.length === 0) return ok("each is used by one process");
  return {
    verdict: "problem",
    what: `another process goes on as ${
      names(changed.map(({ id }) => `"${id}"`))
    } than a moment ago`,
    meaning:
      "either it was just restarted, or several processes share that worker id and stop each " +
      "other again and again",
    remedy: "give each process a --worker-id of its own, or none; then look again",
  };
});

const VERSIONS = ofRows("versions", (look, living) => {
  const versions = new Set(look.workers.filter(({ id }) => living.has(id)).map((w) => w.version));
  if (versions.size <= 1) return ok([...versions].join() || "none");
  return {
    verdict: "warning",
    what: `the workers run versions ${names([...versions].toSorted())}`,
    meaning: "as while a new one is rolled out; not for long",
    remedy: "finish the roll-out; kinesix status shows who runs which",
  };
});

const SETTINGS = ofRows("time-outs of the workers", (look, living) => {
  const alive = look.workers.filter(({ id }) => living.has(id));
  const timeouts = new Set(alive.map(({ heartbeatTimeout }) => heartbeatTimeout));
  if (timeouts.size <= 1) return ok([...timeouts].map(rough).join() || "none");
  const sorted = [...timeouts].toSorted((a, b) => a - b);
  return {
    verdict: "warning",
    what: `the workers have different heartbeat time-outs: ${names(sorted.map(rough))}`,
    meaning:
      "each is judged by its own, so that it depends on who dies how long its shards stand still",
    remedy: "run all workers with the same settings",
  };
});

/** Clocks of workers are for people only; so much is worth telling. */
const AHEAD_MAX_MS = 60_000;

const CLOCKS = ofRows("clocks of the workers", (look, living, { now }) => {
  const ahead = look.workers.filter((row) => living.has(row.id) && row.beatAt > now + AHEAD_MAX_MS);
  if (ahead.length === 0) return ok("none is ahead");
  const what = ahead.map((row) => `"${row.id}" by ${rough(row.beatAt - now)}`);
  return {
    verdict: "warning",
    what: `ahead of AWS's clock are ${names(what)}`,
    meaning: "once it is five minutes, AWS refuses their requests; lag and times of theirs are off",
    remedy: "have the clocks of those machines set by NTP",
  };
});

const KNOWN = ofRows("shards and their rows", (look, living, { shards }) => {
  if (shards.kind !== "answered" || living.size === 0) return undefined;
  const listed = new Set(shards.value.map(({ id }) => id));
  const rows = new Set(look.shards.map(({ id }) => id));
  const malformed = new Set(look.malformed.map(({ row }) => row));
  const gone = look.shards.filter((row) => !isEnded(row) && !listed.has(row.id)).map(({ id }) =>
    id
  );
  if (gone.length > 0) {
    return {
      verdict: "problem",
      what: `the stream has no ${names(gone)} any more, and they are not finished`,
      meaning:
        "they left the stream with records that nobody processed, or it is another stream of " +
        "the same name",
      remedy:
        "for a stream that was created anew, use another --app, or delete the rows of the old one",
    };
  }
  const without = shards.value.filter(({ id, isClosed }) =>
    !isClosed && !rows.has(id) && !malformed.has(`shard/${id}`)
  ).map(({ id }) => id);
  if (without.length === 0) return ok("each open shard has one");
  return {
    verdict: "warning",
    what: `the table has no row for ${names(without)}`,
    meaning: "nobody processes them yet: a worker creates the row when it looks at the stream " +
      "(--check-stream-changes-frequency)",
    remedy: "look again after that; if it stays, the logs of the workers say why",
  };
});

function inState(
  look: Look,
  living: ReadonlySet<string>,
  state: ShardState,
): readonly string[] {
  const { shards } = clusterStatus(look.workers, look.shards, ({ id }) => living.has(id));
  return shards.filter((shard) => shard.state === state).map(({ shardId }) => shardId);
}

const OWNED = ofRows("shards without an owner", (look, living, seen) => {
  if (living.size === 0) return undefined;
  const unowned = inState(look, living, "unowned");
  if (unowned.length === 0) return ok("none");
  return {
    verdict: "problem",
    what: `no live worker has ${names(unowned)}`,
    meaning: "their records wait; a worker takes them within --heartbeat-timeout and " +
      "--check-unprocessed-shards-frequency, if nothing keeps it from it",
    remedy: `look again after that; if it stays, the logs say why: ${command(seen, "status")}`,
  };
});

const STOPPED = ofRows("stopped shards", (look, living, seen) => {
  const stopped = new Set(inState(look, living, "stopped"));
  if (stopped.size === 0) return ok("none");
  const rows = look.shards.filter(({ id }) => stopped.has(id));
  const isOrdered = rows.every(isHalted);
  const why = rows.map((row) =>
    `${row.id} (${
      isHalted(row) ? "by an operator" : "by the workers: a record kept failing, or stopProcessing"
    })`
  );
  return {
    verdict: isOrdered ? "warning" : "problem",
    what: `nobody processes ${names(why)}`,
    meaning: "their records wait, and leave the stream when its retention is over",
    remedy: `mend what failed, then: ${command(seen, `shard start ${rows[0]?.id ?? "SHARD"}`)}`,
  };
});

const HANDOVERS = ofRows("handovers", (look, living, seen) => {
  const { handoverRequestExpiry: expiry } = seen.config;
  const before = new Map(
    seen.looks.length > 1 ? seen.looks[0]?.shards.map((row) => [row.id, row]) : [],
  );
  const stuck = look.shards.filter((row) => !isEnded(row)).flatMap((row) => {
    const { handover, owner, holder } = row;
    if (handover !== null) {
      const forMs = handover.at === undefined ? 0 : seen.now - handover.at;
      if (forMs > expiry) {
        return [`${row.id} was asked for ${rough(forMs)} ago by "${handover.to}"`];
      }
      if (!living.has(handover.to)) {
        return [`${row.id} is asked for by "${handover.to}", which is not alive`];
      }
    }
    const isGiven = owner !== null && living.has(owner) && holder === null;
    if (!isGiven || before.get(row.id)?.term !== row.term) return [];
    return [`${row.id} was given to "${owner}", which has not taken it`];
  });
  if (stuck.length === 0) return ok("none is stuck");
  return {
    verdict: "warning",
    what: names(stuck),
    meaning:
      "the shard stays where it is; requests are taken back after --handover-request-expiry " +
      `(${rough(expiry)}), if their owner still looks`,
    remedy: `look at the logs of those two workers; to move it: ${
      command(seen, "shard handover SHARD --to WORKER")
    }`,
  };
});

/** The cluster. */
export const CLUSTER_CHECKS: readonly Check[] = [
  WORKERS,
  SILENT,
  NAMESAKES,
  VERSIONS,
  SETTINGS,
  CLOCKS,
  KNOWN,
  OWNED,
  STOPPED,
  HANDOVERS,
];
