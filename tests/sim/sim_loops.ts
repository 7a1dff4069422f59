/**
 * Owns: loops that ask for what a processor would be called with, and have it process that.
 * Must not: decide what is processed.
 * Called by: `sim_process.ts`.
 *
 * @module
 */

import type { ResolvedConfig } from "../../src/core/config.ts";
import type { Clock } from "../../src/ports.ts";
import type { BatchResult, ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import type { BatchDelivery, RecordDelivery } from "../../src/pull/delivery.ts";
import { batchPuller, type PullDeps, recordPuller } from "../../src/pull/pull_processor.ts";
import { Puller } from "../../src/pull/puller.ts";

/** As many as may have something in hand at a time, or a slow record would keep the whole stream waiting. */
const LOOPS = 64;

interface LoopOptions {
  readonly clock: Clock;
  readonly config: ResolvedConfig;
  readonly ack: "auto" | "manual";
}

/** A processor whose records are asked for by loops. `auto`: many loops; `manual`: one, which does not wait for what it began. */
export function pulledBy(processor: RecordProcessor, options: LoopOptions): ProcessorSource {
  if (processor.processBatch === undefined) {
    return pull<RecordDelivery>(recordPuller, processor, {
      ...options,
      work: async ({ record, context }) => await processor.process?.(record, context),
    });
  }
  return pull<BatchDelivery>(batchPuller, processor, {
    ...options,
    work: async ({ records, context }) => await processor.processBatch?.(records, context),
  });
}

function pull<T extends RecordDelivery | BatchDelivery>(
  makeProcessor: (deps: PullDeps<T>) => RecordProcessor,
  hooks: RecordProcessor,
  { clock, config, ack, work }: LoopOptions & {
    readonly work: (delivery: T) => Promise<void | BatchResult>;
  },
): ProcessorSource {
  const { processTimeout } = config;
  const puller = new Puller<T>({ clock, processTimeout, hooks, ack, makeProcessor });
  const settle = async (delivery: T): Promise<void> => {
    try {
      const result = await work(delivery);
      // With `auto` to ask for the next one says it, unless there is more to say.
      if (result !== undefined || ack === "manual") delivery.ack(result ?? undefined);
    } catch (error) {
      delivery.nack(error);
    }
  };
  const loop = async (): Promise<void> => {
    for await (const delivery of puller.loop(() => Promise.resolve())) {
      const settled = settle(delivery);
      if (ack === "auto") await settled;
    }
  };
  for (let i = 0; i < (ack === "auto" ? LOOPS : 1); i++) void loop();
  return puller.processorOf;
}
