/**
 * Owns: what a cluster costs a month, line by line, with its arithmetic.
 * Must not: print, or ask what there is.
 * Called by: `../cost.ts`.
 *
 * @module
 */

import {
  checkpointWrites,
  type ClusterSize,
  readUnitsAtRest,
  type SizingConfig,
  tableBytes,
  writesAtRest,
} from "../../core/sizing.ts";
import type { Prices } from "./prices.ts";

/** What is used. */
export interface Usage extends ClusterSize {
  readonly recordsPerSecond: number;
  readonly recordBytes: number;
  readonly streamMode: "provisioned" | "on-demand";
  readonly retrieval: "polling" | "fan-out";
  readonly table:
    | { readonly billing: "PAY_PER_REQUEST" }
    | {
      readonly billing: "PROVISIONED";
      readonly readUnits: number;
      readonly writeUnits: number;
    };
}

/** A line of the bill. */
export interface Line {
  readonly item: string;
  /** `stream`: it costs the same without this app. `app`: this app causes it. */
  readonly causedBy: "stream" | "app";
  readonly arithmetic: string;
  /** In the currency of the prices. */
  readonly perMonth: number;
}

/** What the state table has to give, on average. */
export interface TableNeed {
  readonly writesPerSecondAtRest: number;
  /** With the checkpoints of shards that are all equally busy. */
  readonly writesPerSecond: number;
  readonly readUnitsPerSecond: number;
}

const HOURS = 730;
const SECONDS = HOURS * 3_600;
const MILLION = 1_000_000;
const GB = 2 ** 30;
const KB = 1_024;
const PUT_UNIT_BYTES = 25 * KB;

/** What the state table has to give. */
export function tableNeed(usage: Usage, config: SizingConfig): TableNeed {
  const rest = writesAtRest(usage, config);
  return {
    writesPerSecondAtRest: rest,
    writesPerSecond: rest + checkpointWrites(usage, config),
    readUnitsPerSecond: readUnitsAtRest(usage, config),
  };
}

/** The bill of a month of 730 hours. */
export function billOf(usage: Usage, config: SizingConfig, prices: Prices): readonly Line[] {
  return [
    ...streamLines(usage, prices),
    ...readingLines(usage, prices),
    ...tableLines(usage, tableNeed(usage, config), prices),
  ];
}

function streamLines(usage: Usage, prices: Prices): readonly Line[] {
  const { shards, recordsPerSecond, recordBytes, streamMode } = usage;
  const records = recordsPerSecond * SECONDS / MILLION;
  if (streamMode === "on-demand") {
    const bytes = Math.ceil(recordBytes / KB) * KB;
    return [
      line("stream", "stream, on demand", [[HOURS, "h"], [prices.onDemandStreamHour]]),
      line("stream", "data in", [
        [recordsPerSecond * bytes * SECONDS / GB, "GB"],
        [prices.onDemandGBIn],
      ]),
    ];
  }
  const units = Math.ceil(recordBytes / PUT_UNIT_BYTES);
  return [
    line("stream", "shards", [[shards, "shards"], [HOURS, "h"], [prices.shardHour]]),
    line("stream", "put payload units", [
      [records, "million records"],
      [units, "units"],
      [prices.millionPutUnits],
    ]),
  ];
}

function readingLines(usage: Usage, prices: Prices): readonly Line[] {
  const { shards, recordsPerSecond, recordBytes, streamMode, retrieval } = usage;
  const gb = recordsPerSecond * recordBytes * SECONDS / GB;
  const isOnDemand = streamMode === "on-demand";
  if (retrieval === "polling") {
    return isOnDemand
      ? [line("app", "data out", [[gb, "GB"], [prices.onDemandGBOut]])]
      : [{ item: "reading", causedBy: "app", arithmetic: "GetRecords is free", perMonth: 0 }];
  }
  return [
    ...isOnDemand ? [] : [
      line("app", "fan-out, shards", [[shards, "shards"], [HOURS, "h"], [prices.fanOutShardHour]]),
    ],
    line("app", "fan-out, data", [
      [gb, "GB"],
      [isOnDemand ? prices.onDemandFanOutGB : prices.fanOutGB],
    ]),
  ];
}

function tableLines(usage: Usage, need: TableNeed, prices: Prices): readonly Line[] {
  const { table } = usage;
  const storage = line("app", "state table, stored", [
    [tableBytes(usage) / GB, "GB"],
    [prices.tableGBMonth],
  ]);
  if (table.billing === "PROVISIONED") {
    return [
      line("app", "state table, write units", [
        [table.writeUnits, "units"],
        [HOURS, "h"],
        [prices.writeUnitHour],
      ]),
      line("app", "state table, read units", [
        [table.readUnits, "units"],
        [HOURS, "h"],
        [prices.readUnitHour],
      ]),
      storage,
    ];
  }
  const { writesPerSecondAtRest: rest, writesPerSecond } = need;
  const millions = (perSecond: number): number => perSecond * SECONDS / MILLION;
  return [
    line("app", "state table, heartbeats", [[millions(rest), "million"], [prices.millionWrites]]),
    line("app", "state table, checkpoints", [
      [millions(writesPerSecond - rest), "million"],
      [prices.millionWrites],
    ]),
    line("app", "state table, reads", [
      [millions(need.readUnitsPerSecond), "million"],
      [prices.millionReads],
    ]),
    storage,
  ];
}

/** A product, and how it came about. The last factor is the price. */
function line(
  causedBy: Line["causedBy"],
  item: string,
  factors: readonly (readonly [number, string?])[],
): Line {
  const product = factors.reduce((product, [factor]) => product * factor, 1);
  const perMonth = Math.round(product * MILLION) / MILLION;
  const arithmetic = factors
    .map(([factor, unit]) => unit === undefined ? `$${factor}` : `${shown(factor)} ${unit}`)
    .join(" x ");
  return { item, causedBy, arithmetic, perMonth };
}

/** A number with three digits or all that it has before the point. */
function shown(value: number): string {
  return Number.isInteger(value) || value >= 100
    ? String(Math.round(value))
    : String(Number(value.toPrecision(3)));
}
