/**
 * Owns: `kinesix cost`: what a cluster costs a month, from flags or from one that runs.
 * Must not: know prices or arithmetic.
 * Called by: `commands/setup_commands.ts`.
 *
 * @module
 */

import { connectAws } from "../adapters/aws_calls.ts";
import { ReactoKinesixApp } from "../app.ts";
import { resolveConfig, type ResolvedConfig } from "../core/config.ts";
import { invariant } from "../errors.ts";
import { connection } from "./connection.ts";
import { billOf, type Line, type TableNeed, tableNeed, type Usage } from "./cost/bill.ts";
import { DEFAULT_PRICES, readPrices } from "./cost/prices.ts";
import { Asking } from "./doctor/asking.ts";
import { describeStream, describeTable } from "./doctor/describe.ts";
import type { Answer } from "./doctor/observation.ts";
import { listenForStop } from "./stop_signals.ts";
import { tableNameOf } from "./table.ts";
import { count } from "./event_text.ts";
import { tableText } from "./table_text.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** What is printed with `--json`. */
interface Bill {
  /** Where the prices are from; in US dollars unless `--prices` is in something else. */
  readonly prices: string;
  readonly usage: Usage;
  readonly tableNeed: TableNeed;
  readonly lines: readonly Line[];
  readonly perMonth: { readonly stream: number; readonly app: number; readonly total: number };
}

/** What is known of a cluster that runs. */
type Found = Pick<Usage, "shards" | "workers" | "streamMode" | "table">;

/** Shows what it costs. */
export async function cost(values: Values, terminal: Terminal): Promise<number> {
  const path = values.text("prices");
  const { prices, source } = path === undefined ? DEFAULT_PRICES : await readPrices(path);
  const config = resolveConfig(values.config);
  const usage = await usageOf(values, terminal, config);
  const lines = billOf(usage, config, prices);
  const sum = (causedBy: Line["causedBy"]): number =>
    cents(lines.reduce((sum, line) => sum + (line.causedBy === causedBy ? line.perMonth : 0), 0));
  const [stream, app] = [sum("stream"), sum("app")];
  const bill: Bill = {
    prices: source,
    usage,
    tableNeed: tableNeed(usage, config),
    lines,
    perMonth: { stream, app, total: cents(stream + app) },
  };
  await terminal.write(
    values.isOn("json") ? `${JSON.stringify(bill)}\n` : await billText(bill, terminal),
  );
  return 0;
}

async function usageOf(
  values: Values,
  terminal: Terminal,
  config: ResolvedConfig,
): Promise<Usage> {
  const [app, stream] = [values.text("app"), values.text("stream")];
  if ((app === undefined) !== (stream === undefined)) {
    throw new UsageError("Cannot look at a cluster by --app or --stream alone: give both, or none");
  }
  const found: Partial<Found> = app === undefined ? {} : await look(values, terminal);
  const number = (flag: string): number | undefined => {
    const text = values.text(flag);
    return text === undefined ? undefined : Number(text);
  };
  const shards = number("shards") ?? found.shards;
  if (shards === undefined) {
    throw new UsageError(
      "Cannot run without --shards N: the number of shards; or give --app and --stream of a cluster",
    );
  }
  const isOnDemand = values.text("stream-mode") === "on-demand";
  const streamMode = values.text("stream-mode") === undefined ? found.streamMode : undefined;
  return {
    shards,
    workers: number("workers") ?? found.workers ?? 1,
    recordsPerSecond: values.needNumber("records-per-second"),
    recordBytes: values.needNumber("record-bytes"),
    streamMode: streamMode ?? (isOnDemand ? "on-demand" : "provisioned"),
    retrieval: config.retrieval,
    table: found.table ??
      (config.billingMode === "PAY_PER_REQUEST" ? { billing: "PAY_PER_REQUEST" } : {
        billing: "PROVISIONED",
        readUnits: config.dynamoDBReadThroughput,
        writeUnits: config.dynamoDBWriteThroughput,
      }),
  };
}

/** Looks at a cluster that runs, or has run. */
async function look(values: Values, terminal: Terminal): Promise<Found> {
  const aws = connection(values, terminal, ["kinesis", "dynamodb"]);
  const names = { appName: values.need("app"), streamName: values.need("stream") };
  using signals = listenForStop();
  const { signal } = signals;
  const made = connectAws(aws);
  try {
    const clients = { kinesis: await made.kinesis(), dynamoDB: await made.dynamoDB() };
    const options = { asking: new Asking(clients, signal), clients, signal };
    const stream = answered(await describeStream(names.streamName, options));
    const table = answered(await describeTable(tableNameOf(values), options));
    const { dynamoDBTableSuffix = resolveConfig().dynamoDBTableSuffix } = values.config;
    const status = await ReactoKinesixApp.clusterStatus({
      ...aws,
      ...names,
      config: { dynamoDBTableSuffix },
    });
    invariant(table !== null, "its rows were read");
    return {
      shards: status.shards.filter(({ state }) => state !== "closed").length,
      workers: status.workers.filter(({ alive }) => alive).length,
      streamMode: stream.mode === "ON_DEMAND" ? "on-demand" : "provisioned",
      table: table.isPaidPerRequest
        ? { billing: "PAY_PER_REQUEST" }
        : { billing: "PROVISIONED", readUnits: table.readUnits, writeUnits: table.writeUnits },
    };
  } finally {
    made.close();
  }
}

function answered<T>(answer: Answer<T>): T {
  if (answer.kind === "answered") return answer.value;
  throw new Error(answer.kind === "failed" ? answer.message : `Cannot ask AWS: ${answer.why}`);
}

async function billText(bill: Bill, terminal: Terminal): Promise<string> {
  const { usage, lines, perMonth, prices, tableNeed: need } = bill;
  const rows = (causedBy: Line["causedBy"], sum: string): readonly (readonly string[])[] => [
    ...lines.filter((line) => line.causedBy === causedBy)
      .map(({ item, arithmetic, perMonth }) => [item, arithmetic, money(perMonth)]),
    [sum, "", money(perMonth[causedBy])],
  ];
  const table = await tableText(
    ["A month of 730 h", "is", "$"],
    [
      ...rows("stream", "the stream, with or without this app"),
      ...rows("app", "this app"),
      ["total", "", money(perMonth.total)],
    ],
    terminal,
  );
  const writes = `${need.writesPerSecondAtRest.toFixed(2)} writes a second at rest, ` +
    `${need.writesPerSecond.toFixed(2)} with checkpoints, ` +
    `${need.readUnitsPerSecond.toFixed(2)} read units a second`;
  return [
    `${count(usage.shards, "shard")}, ${count(usage.workers, "worker")}, ` +
    `${count(usage.recordsPerSecond, "record")} a second of ` +
    `${usage.recordBytes} bytes, ${usage.streamMode}, ${usage.retrieval}`,
    table,
    `The state table has to give: ${writes}.`,
    ...notes(bill),
    `Prices: ${prices}.`,
    "Not in it: the machines, data transfer, longer retention, CloudWatch.",
    "",
  ].join("\n");
}

function notes({ usage: { table, recordsPerSecond }, tableNeed: need }: Bill): readonly string[] {
  const isTooSmall = table.billing === "PROVISIONED" &&
    (table.writeUnits < need.writesPerSecond || table.readUnits < need.readUnitsPerSecond);
  return [
    ...isTooSmall
      ? ["That is more than its units: checkpoints are delayed, or heartbeats. See kinesix doctor."]
      : [],
    ...recordsPerSecond === 0 ? ["For a stream with records give --records-per-second."] : [],
  ];
}

function cents(amount: number): number {
  return Math.round(amount * 100) / 100;
}

function money(amount: number): string {
  return amount > 0 && amount < 0.005 ? "under 0.01" : amount.toFixed(2);
}
