/**
 * Owns: `kinesix checkpoint list`, `set`, `rewind`, `export` and `import`.
 * Must not: know how a checkpoint gets into the state table.
 * Called by: `commands/checkpoint_commands.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { type AwsClients, connectAws } from "../adapters/aws_calls.ts";
import { ReactoKinesixApp } from "../app.ts";
import { type Checkpoint, formatCheckpoint } from "../core/checkpoint.ts";
import { parseDuration } from "../core/duration.ts";
import { invariant, messageOf } from "../errors.ts";
import type { ShardInfo } from "../ports.ts";
import type { ClusterOptions } from "../world.ts";
import { checkpointFile, readCheckpointFile } from "./checkpoints/checkpoint_file.ts";
import { planKclImport } from "./checkpoints/kcl_import.ts";
import { type KclLease, readKclLeases } from "./checkpoints/kcl_table.ts";
import { parsePosition, type Position } from "./checkpoints/position.ts";
import { type Change, type Control, setCheckpoints } from "./checkpoints/set_checkpoints.ts";
import { StreamBounds } from "./checkpoints/stream_bounds.ts";
import { connection } from "./connection.ts";
import { count } from "./event_text.ts";
import { openProgress } from "./progress.ts";
import { patiently } from "./patience.ts";
import { shardIdOf } from "./shard.ts";
import { sayEmpty } from "./status.ts";
import { listenForStop } from "./stop_signals.ts";
import { tableText } from "./table_text.ts";
import { jsonText, printable, type Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";
import { shortShard } from "./words.ts";

/** The KCL renews its leases every few seconds; a lease that does not move for so long has no worker. */
const KCL_WATCH_MS = 8_000;

/** Shows the checkpoints. */
export async function listCheckpoints(values: Values, terminal: Terminal): Promise<number> {
  const cluster = clusterOf(values, terminal, ["dynamodb"]);
  const { shards } = await patiently(
    ReactoKinesixApp.clusterStatus({ ...cluster, config: values.config }),
    { values, terminal, services: ["dynamodb"] },
  );
  if (shards.length === 0) sayEmpty(values, terminal);
  const rows = shards.map((
    { shardId, checkpoint, checkpointAt, millisBehindLatest, owner, state },
  ) => ({
    ...{ shardId, checkpoint, checkpointAt, millisBehindLatest, owner, state },
  }));
  await print(values, terminal, { shards: rows }, () =>
    tableText(
      ["Shard", "Checkpoint", "Written", "Behind", "Owner", "State"],
      rows.map((row) => [
        { text: row.shardId, short: shortShard(row.shardId) },
        row.checkpoint,
        row.checkpointAt ?? "-",
        row.millisBehindLatest === null ? "-" : `${row.millisBehindLatest} ms`,
        row.owner ?? "-",
        row.state,
      ]),
      terminal,
    ));
  return 0;
}

/** Sets the checkpoint of one shard. */
export function setCheckpoint(values: Values, terminal: Terminal): Promise<number> {
  const shardId = shardIdOf(values.argument("SHARD") ?? "");
  return change(values, terminal, (_, position) => new Map([[shardId, position]]));
}

/** Sets the checkpoints of all shards that the stream lists: closed ones too, so that parents come before their children again. */
export function rewind(values: Values, terminal: Terminal): Promise<number> {
  return change(values, terminal, (shards, position) => {
    if (position.kind === "sequence") {
      throw new UsageError(
        "Cannot rewind to a sequence number: it belongs to one shard; see kinesix checkpoint set",
      );
    }
    return new Map(shards.map(({ id }) => [id, position]));
  });
}

/** Writes the checkpoints as JSON. */
export async function exportCheckpoints(values: Values, terminal: Terminal): Promise<number> {
  const cluster = clusterOf(values, terminal, ["dynamodb"]);
  await using control = await ReactoKinesixApp.control({ ...cluster, config: values.config });
  const { appName, streamName } = cluster;
  const about = { appName, streamName, exportedAt: new Date().toISOString() };
  const file = checkpointFile(about, await control.shards());
  if (file.shards.length === 0) sayEmpty(values, terminal);
  const text = `${JSON.stringify(file, null, 2)}\n`;
  const path = values.text("output");
  if (path === undefined) {
    await terminal.write(text);
  } else {
    await Deno.writeTextFile(path, text).catch((error) => {
      throw new Error(`Cannot export to --output "${path}": ${messageOf(error)}`, { cause: error });
    });
    terminal.say(`exported ${count(file.shards.length, "checkpoint")} to ${path}`);
  }
  return 0;
}

/** Takes checkpoints over, from a file or from the table of a KCL application. */
export async function importCheckpoints(values: Values, terminal: Terminal): Promise<number> {
  const path = values.argument("FILE");
  const tableName = values.text("from-kcl");
  if ((path === undefined) === (tableName === undefined)) {
    throw new UsageError("Cannot import: give either FILE or --from-kcl TABLE");
  }
  return await withCluster(values, terminal, async (tools) => {
    const shards = await tools.bounds.shards();
    const listed = new Map(shards.map((shard) => [shard.id, shard]));
    if (tableName === undefined) {
      const checkpoints = await readCheckpointFile(path ?? "", tools.cluster.streamName);
      const lost = [...checkpoints.keys()].filter((id) => !listed.has(id));
      const kept = shards.filter(({ id }) => checkpoints.has(id));
      const imported = kept.map((shard) => withCheckpoint(shard, checkpoints.get(shard.id)));
      return await take(values, terminal, tools, { imported, lost, fresh: [] });
    }
    const leases = await quietLeases(values, terminal, tools, tableName);
    const plan = planKclImport(leases, shards, {
      latest: { kind: "timestamp", timestamp: Date.now() },
      atTimestamp: positionOf(values.text("at-timestamp")),
    });
    return await take(values, terminal, tools, { ...plan, imported: plan.shards });
  });
}

function withCheckpoint(shard: ShardInfo, checkpoint: Checkpoint | undefined) {
  invariant(checkpoint !== undefined, "a shard that is imported has a checkpoint");
  return { ...shard, checkpoint };
}

/** What the commands that change something work with. */
interface Tools {
  readonly cluster: ClusterOptions;
  readonly control: Control;
  readonly bounds: StreamBounds;
  readonly clients: AwsClients;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

async function withCluster(
  values: Values,
  terminal: Terminal,
  work: (tools: Tools) => Promise<number>,
): Promise<number> {
  using signals = listenForStop();
  const cluster = clusterOf(values, terminal, ["kinesis", "dynamodb"]);
  await using control = await ReactoKinesixApp.control({ ...cluster, config: values.config });
  const clients = connectAws(cluster);
  const { signal } = signals;
  try {
    const bounds = new StreamBounds(await clients.kinesis(), cluster.streamName, signal);
    return await work({ cluster, control, bounds, clients, terminal, signal });
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    // What is read is given up at a signal, and all of it comes before the first write.
    throw new Error(`Cannot go on: stopped by ${signal.reason}; nothing was set`, { cause: error });
  } finally {
    clients.close();
  }
}

function change(
  values: Values,
  terminal: Terminal,
  choose: (shards: readonly ShardInfo[], position: Position) => ReadonlyMap<string, Position>,
): Promise<number> {
  return withCluster(values, terminal, async (tools) => {
    const position = positionOf(values.argument("POSITION"));
    invariant(position !== undefined, "the argument was checked");
    const shards = await tools.bounds.shards();
    const targets = choose(shards, position);
    for (const [shardId, position] of targets) {
      if (!shards.some(({ id }) => id === shardId)) {
        throw new RangeError(
          `Cannot set the checkpoint of shard "${shardId}": stream "${tools.cluster.streamName}" has no ` +
            "shard of that name",
        );
      }
      await tools.bounds.check(shardId, position);
    }
    const changes = await set(values, tools, targets);
    await tell(values, terminal, { changes, created: [], lost: [], fresh: [] });
    return 0;
  });
}

async function set(
  values: Values,
  { cluster, control, terminal, signal }: Tools,
  targets: ReadonlyMap<string, Checkpoint>,
): Promise<readonly Change[]> {
  const { workers } = await ReactoKinesixApp.clusterStatus({ ...cluster, config: values.config });
  const alive = new Set(workers.filter(({ alive }) => alive).map(({ workerId }) => workerId));
  const isHidden = values.isOn("json") || values.isOn("dry-run");
  using board = await openProgress(terminal, { isHidden });
  const progress = board.add("set", targets.size);
  return await setCheckpoints(control, targets, {
    onProgress: (set) => progress.update(set),
    stopsFirst: values.isOn("stop-first"),
    isForced: values.isOn("force"),
    isDryRun: values.isOn("dry-run"),
    waitMs: parseDuration(values.need("wait")) ?? 0,
    alive,
    signal,
  });
}

/** Creates the rows that are missing, and sets the checkpoints of the others. */
async function take(
  values: Values,
  terminal: Terminal,
  tools: Tools,
  { imported, lost, fresh }: {
    readonly imported:
      readonly (Omit<ShardInfo, "isClosed"> & { readonly checkpoint: Checkpoint })[];
    readonly lost: readonly string[];
    readonly fresh: readonly string[];
  },
): Promise<number> {
  const { control, cluster, signal } = tools;
  const isDryRun = values.isOn("dry-run");
  const hasTable = await isThere(() => control.shards());
  const known = new Set(hasTable?.map(({ id }) => id) ?? []);
  const created = imported.filter(({ id }) => !known.has(id));
  const others = imported.filter(({ id }) => known.has(id));
  // First what may be refused: then nothing has changed.
  const changes = others.length === 0
    ? []
    : await set(values, tools, new Map(others.map(({ id, checkpoint }) => [id, checkpoint])));
  if (!isDryRun && created.length > 0) {
    if (signal.aborted && changes.length === 0) throw signal.reason;
    try {
      await createRows(control, cluster.streamName, created);
    } catch (error) {
      if (changes.length === 0) throw error;
      const set = `${count(changes.length, "checkpoint")} of shards with a row`;
      throw new Error(`${messageOf(error)}; what was set before stays set: ${set}`, {
        cause: error,
      });
    }
  }
  await tell(values, terminal, {
    changes,
    created: created.map(({ id, checkpoint }) => ({
      shardId: id,
      to: formatCheckpoint(checkpoint),
    })),
    lost,
    fresh,
  });
  return 0;
}

async function createRows(
  control: Control,
  streamName: string,
  shards: Parameters<Control["create"]>[1],
): Promise<void> {
  const late = await control.create(streamName, shards);
  if (late.length === 0) return;
  throw new Error(
    `Cannot import ${count(late.length, "shard")}: a worker has begun with ${
      late[0]
    } meanwhile; import once more, with --stop-first`,
  );
}

/** Undefined when the state table does not exist yet. */
async function isThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && "kind" in error && error.kind === "missing") return undefined;
    throw error;
  }
}

/** The leases, when none of them moves: a KCL worker that goes on would process what workers here do. */
async function quietLeases(
  values: Values,
  terminal: Terminal,
  { clients, cluster: { streamName }, signal }: Tools,
  tableName: string,
): Promise<readonly KclLease[]> {
  const client = await clients.dynamoDB();
  const read = () => readKclLeases(client, { tableName, streamName, signal });
  const before = await read();
  if (before.length === 0) {
    throw new Error(
      `Cannot import from KCL table "${tableName}": it has no lease of stream "${streamName}"`,
    );
  }
  const isWatched = !values.isOn("force") && before.some(({ owner }) => owner !== null);
  if (!isWatched) return before;
  terminal.say(`watching the leases for ${KCL_WATCH_MS / 1_000} s: no KCL worker may be at work`);
  await delay(KCL_WATCH_MS, { signal });
  const after = await read();
  const counters = new Map(before.map(({ shardId, counter }) => [shardId, counter]));
  const moving = after.find(({ shardId, counter }) => counters.get(shardId) !== counter);
  if (moving === undefined) return after;
  throw new Error(
    `Cannot import from KCL table "${tableName}": worker "${moving.owner}" is at work on shard ` +
      `"${moving.shardId}"; stop the KCL application first, or use --force`,
  );
}

/** What is printed. */
interface Report {
  readonly changes: readonly Change[];
  /** Shards that had no row. */
  readonly created: readonly { readonly shardId: string; readonly to: string }[];
  /** Shards whose checkpoints were not taken, since the stream does not hold them any more. */
  readonly lost: readonly string[];
  /** Shards that were not given a checkpoint; they begin at their oldest record. */
  readonly fresh: readonly string[];
}

async function tell(values: Values, terminal: Terminal, report: Report): Promise<void> {
  const isDryRun = values.isOn("dry-run");
  await print(values, terminal, { isDryRun, ...report }, async () => {
    const rows = [
      ...report.created.map(({ shardId, to }) => [shardId, "-", to]),
      ...report.changes.map(({ shardId, from, to }) => [shardId, from, to]),
    ];
    const lines = [await tableText(["Shard", "From", "To"], rows, terminal)];
    if (report.lost.length > 0) {
      lines.push(
        `not taken, the stream does not hold them any more: ${printable(report.lost.join(", "))}`,
      );
    }
    if (report.fresh.length > 0) {
      lines.push(
        `without a checkpoint, from their oldest record on: ${printable(report.fresh.join(", "))}`,
      );
    }
    const verb = isDryRun ? "would set" : "set";
    lines.push(`${verb} ${count(rows.length, "checkpoint")}`);
    return lines.filter((line) => line !== "").join("\n");
  });
}

async function print(
  values: Values,
  terminal: Terminal,
  result: object,
  text: () => string | Promise<string>,
): Promise<void> {
  const output = values.isOn("json") ? jsonText(result) : await text();
  if (output !== "") await terminal.write(`${output}\n`);
}

function positionOf(text: string | undefined): Position | undefined {
  return text === undefined ? undefined : parsePosition(text, Date.now());
}

function clusterOf(
  values: Values,
  terminal: Terminal,
  services: readonly ("kinesis" | "dynamodb")[],
): ClusterOptions {
  return {
    ...connection(values, terminal, services),
    appName: values.need("app"),
    streamName: values.need("stream"),
  };
}
