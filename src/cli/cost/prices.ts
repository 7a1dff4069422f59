/**
 * Owns: what AWS asks for each thing that a cluster uses, and reading other prices from a file.
 * Must not: know how much is used.
 * Called by: `bill.ts`, `../cost.ts`.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { suggestion, UsageError } from "../usage_error.ts";

/** Prices, each for one of what its name says. A GB is 2^30 bytes. */
export interface Prices {
  readonly shardHour: number;
  /** A payload unit is 25 KB of a record, begun or whole. */
  readonly millionPutUnits: number;
  readonly onDemandStreamHour: number;
  readonly onDemandGBIn: number;
  readonly onDemandGBOut: number;
  readonly fanOutShardHour: number;
  readonly fanOutGB: number;
  readonly onDemandFanOutGB: number;
  readonly writeUnitHour: number;
  readonly readUnitHour: number;
  readonly millionWrites: number;
  readonly millionReads: number;
  readonly tableGBMonth: number;
}

/** Where prices are from. */
export interface PriceList {
  readonly prices: Prices;
  /** What people read about them. */
  readonly source: string;
}

/**
 * In US dollars, of us-east-1, without free tiers and discounts. Compared with what AWS had published: Kinesis in March 2026
 * (https://aws.amazon.com/blogs/big-data/kinesis-on-demand-advantage-saves-60-on-streaming-costs/ and the page of prices), on
 * demand those of On-demand Standard; DynamoDB since it halved those of requests on 1 November 2024
 * (https://aws.amazon.com/dynamodb/pricing/on-demand/).
 */
export const DEFAULT_PRICES: PriceList = {
  prices: {
    shardHour: 0.015,
    millionPutUnits: 0.014,
    onDemandStreamHour: 0.04,
    onDemandGBIn: 0.08,
    onDemandGBOut: 0.04,
    fanOutShardHour: 0.015,
    fanOutGB: 0.013,
    onDemandFanOutGB: 0.05,
    writeUnitHour: 0.00065,
    readUnitHour: 0.00013,
    millionWrites: 0.625,
    millionReads: 0.125,
    tableGBMonth: 0.25,
  },
  source:
    "us-east-1; Kinesis as of March 2026 (on demand: On-demand Standard), DynamoDB since its cut of " +
    "November 2024; those of today are at " +
    "aws.amazon.com/kinesis/data-streams/pricing and aws.amazon.com/dynamodb/pricing, and go into " +
    "--prices FILE.json",
};

/**
 * Reads prices from a file; those that it does not name are the default ones.
 *
 * @throws {UsageError} If it names one that there is not, or anything but a number.
 */
export async function readPrices(path: string): Promise<PriceList> {
  const known = Object.keys(DEFAULT_PRICES.prices);
  const given = Object.entries(await readObject(path));
  for (const [name, price] of given) {
    if (!known.includes(name)) {
      const near = await suggestion(name, known);
      throw new UsageError(
        `Cannot use "${name}" in ${path}: there is no such price${
          near || `; there are ${known.join(", ")}`
        }`,
      );
    }
    if (typeof price !== "number" || !(price >= 0)) {
      throw new UsageError(`Cannot use "${name}" in ${path}: a price is a number from 0 on`);
    }
  }
  const prices = { ...DEFAULT_PRICES.prices, ...Object.fromEntries(given) };
  return { prices, source: `${path}; what it does not name: ${DEFAULT_PRICES.source}` };
}

async function readObject(path: string): Promise<object> {
  try {
    const value: unknown = JSON.parse(await Deno.readTextFile(path));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    throw new UsageError(`Cannot read prices from ${path}: ${messageOf(error)}`, { cause: error });
  }
  throw new UsageError(`Cannot read prices from ${path}: it must hold a JSON object of numbers`);
}
