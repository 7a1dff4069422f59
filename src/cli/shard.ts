/**
 * Owns: `kinesix shard stop`, `start`, `handover` and `release`: an order to the cluster, and waiting until it is obeyed.
 * Must not: know how the order gets there.
 * Called by: `commands/shard_commands.ts`.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { delay } from "@std/async/delay";
import { ReactoKinesixApp } from "../app.ts";
import { parseDuration } from "../core/duration.ts";
import { isEnded, type ShardRow } from "../core/lease.ts";
import type { ClusterControl } from "../runtime/cluster_control.ts";
import { connection } from "./connection.ts";
import { patiently } from "./patience.ts";
import { listenForStop } from "./stop_signals.ts";
import { jsonText, printable, type Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** What is printed with `--json`. */
interface Result {
  readonly shardId: string;
  readonly order: "stop" | "start" | "handover" | "release";
  /** Who had the shard when the order was given; null if nobody had. */
  readonly from: string | null;
  /** Who has it now. */
  readonly owner: string | null;
  readonly term: number;
  /** Whether the order is obeyed. False: it is written down, and will be. */
  readonly isDone: boolean;
}

/** An order that was given. */
interface Given {
  /** The row when the order was written into it. */
  readonly row: ShardRow;
  /** Completes "shard X is ". */
  readonly goal: string;
  readonly isDone: (row: ShardRow) => boolean;
  /** Why it will not be obeyed any more; undefined if it may be. */
  readonly refusal?: (row: ShardRow) => string | undefined;
}

/** Stops a shard on every worker. */
export function stopShard(values: Values, terminal: Terminal): Promise<number> {
  return steer("stop", values, terminal, async (control, shardId) => ({
    row: await control.stop(shardId),
    goal: "stopped",
    isDone: (row) => row.owner === null || isEnded(row),
  }));
}

/** Has a shard processed again. */
export function startShard(values: Values, terminal: Terminal): Promise<number> {
  return steer("start", values, terminal, async (control, shardId) => ({
    row: await control.start(shardId),
    goal: "processed",
    isDone: (row) => row.holder !== null || isEnded(row),
  }));
}

/** Hands a shard over to a worker. */
export function handOverShard(values: Values, terminal: Terminal): Promise<number> {
  return steer(
    "handover",
    values,
    terminal,
    (control, shardId) => handOver(control, shardId, values.need("to")),
  );
}

/** Hands a shard over to the worker with the fewest. */
export function releaseShard(values: Values, terminal: Terminal): Promise<number> {
  return steer("release", values, terminal, async (control, shardId) => {
    const to = await control.release(shardId);
    return handOver(control, shardId, to);
  });
}

async function handOver(control: ClusterControl, shardId: string, to: string): Promise<Given> {
  const row = await control.handOver(shardId, to);
  const { handover } = row;
  return {
    row,
    goal: `at worker "${to}"`,
    isDone: (row) => row.owner === to && row.holder !== null,
    refusal: (row) =>
      handover === null || row.handover?.id === handover.id || row.owner === to
        ? undefined
        : `worker "${
          row.owner ?? "nobody"
        }" has it and does not give it: worker "${to}" may be stopping`,
  };
}

const LOOK_MS = 250;

async function steer(
  order: Result["order"],
  values: Values,
  terminal: Terminal,
  give: (control: ClusterControl, shardId: string) => Promise<Given>,
): Promise<number> {
  using signals = listenForStop();
  await using control = await ReactoKinesixApp.control({
    ...connection(values, terminal, ["dynamodb"]),
    appName: values.need("app"),
    streamName: values.need("stream"),
    config: values.config,
  });
  const shardId = shardIdOf(values.argument("SHARD") ?? "");
  // Nothing is ordered before this is read: a signal may end it.
  const first = patiently(rowOf(control, shardId, { order, values }), {
    ...{ values, terminal, services: ["dynamodb"] },
  });
  const { owner: from } = await abortable(first, signals.signal);
  const { row: ordered, goal, isDone, refusal } = await give(control, shardId);
  const waitUntil = performance.now() + (parseDuration(values.need("wait")) ?? 0);
  let row = ordered;
  let reason: string | undefined;
  while (!isDone(row) && performance.now() < waitUntil && !signals.signal.aborted) {
    reason = refusal?.(row);
    if (reason !== undefined) throw new Error(`Cannot ${order} shard "${shardId}": ${reason}`);
    await delay(LOOK_MS);
    row = await control.shard(shardId);
  }
  const { owner, term } = row;
  const result: Result = { shardId, order, from, owner, term, isDone: isDone(row) };
  await terminal.write(
    values.isOn("json") ? `${jsonText(result)}\n` : `${tell(result, goal)}\n`,
  );
  return 0;
}

/** The row of the shard that is meant. */
async function rowOf(
  control: ClusterControl,
  shardId: string,
  { order, values }: { readonly order: Result["order"]; readonly values: Values },
): Promise<ShardRow> {
  try {
    return await control.shard(shardId);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const [app, stream] = [values.need("app"), values.need("stream")];
    throw new RangeError(
      `Cannot ${order} shard "${shardId}": the state table has no shard of that name of stream "${stream}"; ` +
        `kinesix status --app ${app} --stream ${stream} shows those that it has`,
      { cause: error },
    );
  }
}

function tell({ shardId, owner, isDone }: Result, goal: string): string {
  if (isDone) return printable(`shard ${shardId} is ${goal}`);
  const waiting = owner === null
    ? "no worker has taken it yet"
    : `worker "${owner}" has it and looks with its next heartbeat, then finishes the record in hand`;
  return printable(`shard ${shardId} will be ${goal}: the order is given; ${waiting}`);
}

/** The whole id of a shard that is named by its number. */
export function shardIdOf(text: string): string {
  return /^\d{1,12}$/.test(text) ? `shardId-${text.padStart(12, "0")}` : text;
}
