/**
 * Owns: the user's table in the simulated DynamoDB, and the promise that a record is in it once.
 * Must not: know when something is written there.
 * Called by: `scenario.ts` draws, `sim_table.ts` writes, `sim_process.ts` makes the items, `simulation.ts`.
 *
 * @module
 */

import type { TransactionItem } from "../../src/transaction_item.ts";
import type { Scenario } from "./scenario.ts";
import type { SimRecord, SimStream } from "./sim_stream.ts";
import type { SimSink } from "./sim_table.ts";
import { Prng, type World } from "./world.ts";

const TableName = "sink";

/** A batch goes as a whole, and has no more items than fit. */
const BATCH_MAX = 50;

/** Draws whether records go into a sink: a chance of its own. */
export function drawSinks(scenario: Scenario): Scenario {
  const { seed, config, processor } = scenario;
  const isBatch = processor.kind === "batch";
  const maySink = processor.pulled === "none" && config.concurrency === undefined;
  const sinks = maySink && new Prng(seed ^ 0x7f4a7c15).chance(0.3);
  if (!sinks) return scenario;
  const { batchSize = BATCH_MAX } = config;
  return {
    ...scenario,
    config: { ...config, ...isBatch && { batchSize: Math.min(batchSize, BATCH_MAX) } },
    processor: { ...processor, sinks, packed: 0.5, partial: 0 },
  };
}

/** What a record writes. */
export function itemOf({ sequenceNumber, subSequenceNumber }: SimRecord): TransactionItem {
  return { Put: { TableName, Item: { id: { S: `${sequenceNumber}:${subSequenceNumber}` } } } };
}

/** Fails the story when a record is written twice. A record is finished when it is here; `NoLoss` holds that none is passed before. */
export class ExactlyOnce implements SimSink {
  readonly #world: World;
  readonly #stream: SimStream;
  readonly #written = new Set<string>();

  constructor(world: World, stream: SimStream) {
    this.#world = world;
    this.#stream = stream;
  }

  refused(): readonly [] {
    return [];
  }

  write(items: readonly TransactionItem[], by: string): void {
    for (const { Put } of items) {
      const id = Put?.Item?.id?.S ?? "";
      if (this.#written.has(id)) this.#world.fail("exactly once", `${by} wrote ${id} again`);
      this.#written.add(id);
      const [sequenceNumber = "", sub] = id.split(":");
      const subSequenceNumber = sub === "undefined" ? undefined : Number(sub);
      const record = this.#stream.record(sequenceNumber, subSequenceNumber);
      if (record !== undefined) record.isFinished = true;
    }
  }
}
