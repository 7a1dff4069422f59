/**
 * Owns: a stream as a worker reads it, but for the pace.
 * Called by: `consumers.ts`, `peers/kinesix.ts`.
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { KinesisPollingSource } from "../src/adapters/kinesis_polling.ts";
import { systemClock } from "../src/adapters/system.ts";
import { resolveConfig } from "../src/core/config.ts";
import type { Clock } from "../src/ports.ts";

/** At the tip of the stream the clock really sleeps. */
const AT_TIP_MS = 3_600_000;

/**
 * A clock for the source alone, by which the limits of a shard (5 reads and 2 MB a second) are never reached: what is measured
 * is what records cost, not how long Kinesis makes one wait. Everything else in the worker lives by the real clock.
 */
const unhurriedClock: Clock = {
  ...systemClock,
  async sleep(ms, signal) {
    signal.throwIfAborted();
    if (ms >= AT_TIP_MS) await systemClock.sleep(ms, signal);
  },
};

/** Reads by polling, as fast as the stream answers. */
export function unhurriedSource(client: KinesisClient, streamName: string): KinesisPollingSource {
  return new KinesisPollingSource({
    client,
    streamName,
    config: resolveConfig({ emptyReceiveDelay: AT_TIP_MS }),
    clock: unhurriedClock,
    emit: () => {},
  });
}
