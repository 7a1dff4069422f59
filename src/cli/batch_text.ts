/**
 * Owns: the sentence that a person reads for an event that comes with every batch.
 * Must not: write it anywhere.
 * Called by: `event_log.ts`.
 *
 * @module
 */

import { roundDuration } from "../core/duration.ts";
import type { AppEvent } from "../events.ts";
import { count, type EventText, shortPosition } from "./event_text.ts";

/** The sentence for an event that comes with every batch; undefined for the others. */
export function batchText(event: AppEvent): EventText | undefined {
  switch (event.type) {
    case "batch_processed": {
      const { shardId, records, bytes, millisBehindLatest, processMs } = event;
      const behind = millisBehindLatest === 0
        ? "caught up"
        : `${roundDuration(millisBehindLatest)} behind`;
      const what = records === 0
        ? `came to the tip of ${shardId}`
        : `processed ${count(records, "record")} (${count(bytes, "byte")}) of ${shardId} in ${
          roundDuration(processMs)
        }`;
      return { tone: "quiet", text: `${what}, ${behind}` };
    }
    case "checkpoint_written":
      return {
        tone: "quiet",
        text: `${event.shardId} is finished up to ${shortPosition(event.checkpoint)}`,
      };
    default:
      return undefined;
  }
}
