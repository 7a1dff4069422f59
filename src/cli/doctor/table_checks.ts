/**
 * Owns: the checks of the state table: whether it is there, ours, and gives enough.
 * Must not: call anything.
 * Called by: `checks.ts`.
 *
 * @module
 */

import { HASH_KEY, RANGE_KEY } from "../../adapters/row_codec.ts";
import { isEnded } from "../../core/lease.ts";
import { checkpointWritesMax, readUnitsAtRest, writesAtRest } from "../../core/sizing.ts";
import { count } from "../event_text.ts";
import { lastLook, livingWorkers } from "./cluster_checks.ts";
import { type Check, type Finding, names, type Observation, ok, unknown } from "./observation.ts";

const TABLE: Check = {
  name: "state table",
  judge({ table, tableName, appName, config }) {
    if (table.kind !== "answered") return unknown(table);
    const print = `kinesix table print --app ${appName} --format cloudformation`;
    if (table.value === null) {
      return config.createTable
        ? {
          verdict: "warning",
          what: `there is no table "${tableName}"`,
          meaning:
            "no worker has run yet, or the names differ; the first one creates it, and needs " +
            "dynamodb:CreateTable and dynamodb:UpdateTable for that, which cannot be tried",
          remedy: `check --app and --dynamodb-table-suffix; or create it: ${print}`,
        }
        : {
          verdict: "problem",
          what: `there is no table "${tableName}", and --create-table is false`,
          meaning: "no worker starts",
          remedy: `create it: ${print}`,
        };
    }
    const { status } = table.value;
    if (status === "ACTIVE" || status === "UPDATING") return ok(status);
    return {
      verdict: status === "CREATING" ? "warning" : "problem",
      what: `table "${tableName}" is ${status}`,
      meaning: "workers wait, or stop",
      remedy: status === "CREATING"
        ? "wait until it is ACTIVE"
        : "look at it in the DynamoDB console",
    };
  },
};

const KEYS: Check = {
  name: "keys of the table",
  judge({ table, tableName }) {
    if (table.kind !== "answered" || table.value === null) return undefined;
    const found = table.value.keys.join(" and ");
    const wanted = `${HASH_KEY} (HASH, S) and ${RANGE_KEY} (RANGE, S)`;
    if (found === wanted) return ok(found);
    return {
      verdict: "problem",
      what: `the key of table "${tableName}" is ${found}, not ${wanted}`,
      meaning: "it belongs to other software; no worker starts",
      remedy:
        "choose another --app or --dynamodb-table-suffix; to go on from a lease table of the " +
        "KCL: kinesix checkpoint import --from-kcl",
    };
  },
};

/** What the table has to give: at rest surely, and when every shard is busy. */
function needOf(seen: Observation) {
  const look = lastLook(seen);
  const listed = seen.shards.kind === "answered" ? seen.shards.value : [];
  const size = {
    workers: Math.max(1, livingWorkers(seen).size),
    shards: look?.shards.length ?? listed.length,
  };
  const open = look === undefined
    ? listed.filter(({ isClosed }) => !isClosed).length
    : look.shards.filter((row) => !isEnded(row)).length;
  const writes = writesAtRest(size, seen.config);
  return {
    ...size,
    open,
    writes,
    writesWhenBusy: writes + checkpointWritesMax(open, seen.config),
    readUnits: readUnitsAtRest(size, seen.config),
  };
}

const THROUGHPUT: Check = {
  name: "throughput of the table",
  judge(seen) {
    const { table, config } = seen;
    if (table.kind !== "answered" || table.value === null) return undefined;
    const { isPaidPerRequest, readUnits, writeUnits } = table.value;
    if (isPaidPerRequest) return ok("paid per request");
    const need = needOf(seen);
    const cluster = `${count(need.workers, "worker")} and ${count(need.open, "open shard")}`;
    if (need.writes > writeUnits || need.readUnits > readUnits) {
      return {
        verdict: "problem",
        what:
          `${cluster} need ${shown(need.writes)} writes and ${shown(need.readUnits)} read units ` +
          `a second while nothing happens; the table gives ${writeUnits} and ${readUnits}`,
        meaning: "heartbeats are throttled, and workers that live are taken for dead",
        remedy: raise(need),
      };
    }
    if (need.writesWhenBusy > writeUnits) {
      return {
        verdict: "warning",
        what:
          `${cluster} that are all busy write up to ${
            shown(need.writesWhenBusy)
          } times a second; ` +
          `the table takes ${writeUnits}`,
        meaning: "checkpoints are delayed, so that more is repeated after a crash; nothing is lost",
        remedy: `raise --checkpoint-frequency; or ${raise(need)}`,
      };
    }
    return judgeSettings(seen, { readUnits, writeUnits }, config) ??
      ok(
        `${readUnits} read and ${writeUnits} write units, for up to ${shown(need.writesWhenBusy)}`,
      );
  },
};

function judgeSettings(
  { tableName }: Observation,
  { readUnits, writeUnits }: { readonly readUnits: number; readonly writeUnits: number },
  config: Observation["config"],
): Finding | undefined {
  const { dynamoDBReadThroughput: read, dynamoDBWriteThroughput: write, billingMode } = config;
  const isLeftAlone = billingMode === "PAY_PER_REQUEST" ||
    read === readUnits && write === writeUnits;
  if (isLeftAlone) return undefined;
  return {
    verdict: "warning",
    what:
      `table "${tableName}" has ${readUnits} read and ${writeUnits} write units; the settings ` +
      `given here say ${read} and ${write}`,
    meaning: "the next worker that starts with these settings changes the table, and undoes what " +
      "auto scaling did",
    remedy: `give workers and doctor --dynamodb-read-throughput ${readUnits} ` +
      `--dynamodb-write-throughput ${writeUnits}, or --billing-mode PAY_PER_REQUEST, which leaves ` +
      "the table alone",
  };
}

function raise(need: { readonly writesWhenBusy: number; readonly readUnits: number }): string {
  return `run the workers with --dynamodb-write-throughput ${Math.ceil(need.writesWhenBusy)} ` +
    `--dynamodb-read-throughput ${
      Math.max(1, Math.ceil(2 * need.readUnits))
    }, or pay per request: ` +
    "aws dynamodb update-table --billing-mode PAY_PER_REQUEST";
}

function shown(perSecond: number): string {
  return perSecond >= 10 ? String(Math.round(perSecond)) : perSecond.toPrecision(2);
}

const ROWS: Check = {
  name: "rows",
  judge(seen) {
    const look = lastLook(seen);
    if (look === undefined) return undefined;
    const { malformed } = look;
    if (malformed.length === 0) {
      return ok(`${look.shards.length + look.workers.length} rows can be read`);
    }
    return {
      verdict: "problem",
      what: names(malformed.map(({ row, reason }) => `row "${row}": ${reason}`)),
      meaning: "such a shard and its children wait, and such a worker counts as gone",
      remedy:
        "mend the row by hand, or delete it: a shard begins anew then, a worker writes a new one",
    };
  },
};

/** The state table. */
export const TABLE_CHECKS: readonly Check[] = [TABLE, KEYS, THROUGHPUT, ROWS];
