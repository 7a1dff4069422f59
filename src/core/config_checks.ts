/**
 * Owns: what settings must be to one another, and to the time.
 * Must not: know what one setting accepts by itself.
 * Called by: `core/config.ts`, and `app.ts`.
 *
 * @module
 */

import type { ResolvedConfig } from "./config.ts";
import { formatDuration } from "./duration.ts";

/**
 * Checks settings against each other.
 *
 * @throws {RangeError} If one contradicts another.
 */
export function checkTogether(config: ResolvedConfig): void {
  const { heartbeat, heartbeatTimeout, handoverRequestExpiry } = config;
  if (heartbeatTimeout < 2 * heartbeat) {
    throw new RangeError(
      `Cannot use setting "heartbeatTimeout": it must be at least twice "heartbeat" (2 x ` +
        `${
          formatDuration(heartbeat)
        }), or one lost heartbeat costs a live worker its shards; given ` +
        formatDuration(heartbeatTimeout),
    );
  }
  const { checkpointMode, checkpointFrequency, processTimeout } = config;
  if (checkpointMode === "manual" && processTimeout > 0 && processTimeout <= checkpointFrequency) {
    throw new RangeError(
      `Cannot use setting "processTimeout": with "checkpointMode" manual it must be more than ` +
        `"checkpointFrequency" (${
          formatDuration(checkpointFrequency)
        }), or a processor that waits ` +
        `for its checkpoint runs out of time; given ${formatDuration(processTimeout)}`,
    );
  }
  checkConcurrency(config);
  const least = heartbeatTimeout + config.checkPendingHandoverRequestFrequency;
  if (handoverRequestExpiry < least) {
    throw new RangeError(
      `Cannot use setting "handoverRequestExpiry": it must be at least "heartbeatTimeout" + ` +
        `"checkPendingHandoverRequestFrequency" (${formatDuration(least)}), or requests expire ` +
        `before they are seen; given ${formatDuration(handoverRequestExpiry)}`,
    );
  }
}

function checkConcurrency({ concurrency, orderBy, checkpointMode }: ResolvedConfig): void {
  if (concurrency === 1) return;
  if (orderBy === "shard") {
    throw new RangeError(
      `Cannot use setting "concurrency": with "orderBy" shard the records of a shard come one after ` +
        `the other, so it must be 1, or "orderBy" partitionKey or none; given ${concurrency}`,
    );
  }
  if (checkpointMode === "manual") {
    throw new RangeError(
      `Cannot use setting "concurrency": with "checkpointMode" manual it must be 1, because a ` +
        `checkpoint says that everything before it is finished too; given ${concurrency}`,
    );
  }
}

/** Clocks differ a little; more than that is a mistake, which the stream would silently take for LATEST. */
const CLOCK_DIFFERENCE_MAX_MS = 300_000;

/**
 * Checks that a stream does not begin at a time that has not come yet.
 *
 * @throws {RangeError} If it does.
 */
export function checkInitialPosition(
  position: ResolvedConfig["initialPosition"],
  now: number,
): void {
  if (typeof position !== "number" || position <= now + CLOCK_DIFFERENCE_MAX_MS) return;
  throw new RangeError(
    `Cannot use setting "initialPosition": ${new Date(position).toISOString()} is in the future`,
  );
}
