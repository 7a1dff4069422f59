/**
 * Owns: `kinesix status`: the cluster as tables for people and as JSON for programs.
 * Must not: interpret the rows of the state table.
 * Called by: `commands/worker_commands.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import type { Ansis } from "ansis";
import { ReactoKinesixApp } from "../app.ts";
import type { ClusterStatus, ShardState } from "../core/status.ts";
import type { ClusterOptions } from "../world.ts";
import { connection } from "./connection.ts";
import { count, shortPosition } from "./event_text.ts";
import { patiently } from "./patience.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import { WATCH_MS, watchStatus } from "./status_watch.ts";
import { type Cell, tableText } from "./table_text.ts";
import { jsonText, sayError, type Terminal, wantsColor } from "./terminal.ts";
import type { Values } from "./values.ts";
import { ago, shortShard, spanText } from "./words.ts";

/** Shows the cluster, once or until a signal. */
export async function status(values: Values, terminal: Terminal): Promise<number> {
  const options: ClusterOptions = {
    ...connection(values, terminal, ["dynamodb"]),
    appName: values.need("app"),
    streamName: values.need("stream"),
  };
  const { dynamoDBTableSuffix } = values.config;
  const config = dynamoDBTableSuffix === undefined ? {} : { dynamoDBTableSuffix };
  const show = async (): Promise<void> => {
    const cluster = await patiently(
      ReactoKinesixApp.clusterStatus({ ...options, config }),
      { values, terminal, services: ["dynamodb"] },
    );
    if (cluster.shards.length + cluster.workers.length === 0) sayEmpty(values, terminal);
    const text = values.isOn("json")
      ? jsonText(cluster)
      : await statusText(cluster, options, terminal);
    await terminal.write(`${text}\n`);
  };
  const hasScreen = terminal.isStdoutInteractive && terminal.env("TERM") !== "dumb";
  if (values.isOn("watch") && !values.isOn("json") && hasScreen) {
    await watchStatus({ ...options, config }, values, terminal);
    return 0;
  }
  await show();
  if (values.isOn("watch")) await watch(show, terminal);
  return 0;
}

/** Says that there is nothing to show: a name that is wrong by a letter looks like a cluster that never ran. */
export function sayEmpty(values: Values, terminal: Terminal): void {
  const [app, stream] = [values.need("app"), values.need("stream")];
  terminal.say(
    `note: the state table of app "${app}" has no rows of stream "${stream}": no worker has run on it yet, ` +
      "or the name of the stream is another one",
  );
}

async function watch(show: () => Promise<void>, terminal: Terminal): Promise<void> {
  using signals = listenForStop();
  const stopped = aborted(signals.signal);
  while (!signals.signal.aborted) {
    await Promise.race([delay(WATCH_MS), stopped]);
    if (signals.signal.aborted) return;
    try {
      await show();
    } catch (error) {
      // As with `| head`: whoever reads has seen enough.
      if (error instanceof Deno.errors.BrokenPipe) return;
      // It worked before, so that the next time may work again; a person who watches wants to see both.
      sayError(error, terminal);
    }
  }
}

/** The cluster as tables. */
export async function statusText(
  cluster: ClusterStatus,
  { appName, streamName }: Pick<ClusterOptions, "appName" | "streamName">,
  terminal: Terminal,
): Promise<string> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  const alive = cluster.workers.filter((worker) => worker.alive).length;
  const parts = [
    `${paint.bold(appName)} on stream ${paint.bold(streamName)}: ${count(alive, "live worker")}, ${
      count(cluster.shards.length, "shard")
    }`,
    await tableText(
      ["Worker", "Alive", "Shards", "Last heartbeat", "Version"],
      workerRows(cluster, paint),
      terminal,
    ),
    await tableText(
      ["Shard", "State", "Owner", "Term", "Checkpoint", "Behind", "Handover to", "Parents"],
      shardRows(cluster, paint),
      terminal,
    ),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function workerRows(cluster: ClusterStatus, paint: Ansis): readonly (readonly Cell[])[] {
  return cluster.workers.map((worker) => [
    worker.workerId,
    worker.alive ? { text: "yes", color: paint.green } : { text: "no", color: paint.red },
    String(worker.shards),
    ago(worker.lastHeartbeatAt),
    worker.version,
  ]);
}

function shardRows(cluster: ClusterStatus, paint: Ansis): readonly (readonly Cell[])[] {
  const colors: { readonly [S in ShardState]: (text: string) => string } = {
    processing: (text) => paint.green(text),
    handingOver: (text) => paint.cyan(text),
    unowned: (text) => paint.yellow(text),
    stopped: (text) => paint.red(text),
    waitingForParents: (text) => paint.blue(text),
    closed: (text) => paint.gray(text),
  };
  return cluster.shards.map((shard) => [
    { text: shard.shardId, short: shortShard(shard.shardId) },
    { text: shard.state, color: colors[shard.state] },
    shard.owner ?? "-",
    String(shard.term),
    `${shortPosition(shard.checkpoint)}${
      shard.checkpointAt === null ? "" : `, ${ago(shard.checkpointAt)}`
    }`,
    shard.millisBehindLatest === null ? "-" : spanText(shard.millisBehindLatest),
    shard.handoverTo ?? "-",
    shard.parents.map(shortShard).join(", ") || "-",
  ]);
}
