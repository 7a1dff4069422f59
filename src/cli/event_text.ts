/**
 * Owns: the sentence that a person reads for an event.
 * Must not: write it anywhere.
 * Called by: `event_log.ts`.
 *
 * @module
 */

import { formatDuration, roundDuration } from "../core/duration.ts";
import type { EventError } from "../errors.ts";
import type { AppEvent, StopReason } from "../events.ts";
import { shorten } from "./flags.ts";

/** How loudly to say something. */
export type Tone = "plain" | "good" | "quiet" | "warning" | "bad";

/** What a person reads. */
export interface EventText {
  readonly tone: Tone;
  readonly text: string;
}

const STOP_REASONS: { readonly [R in StopReason]: string } = {
  requested: "it was asked for",
  halted: "an operator stopped it for the whole cluster",
  recordFailed: "a record kept failing",
  processorFailed: "its processor failed",
  unreadable: "it could not be read for too long",
};

/** The sentence for an event; undefined for those that come with every batch. */
export function eventText(event: AppEvent): EventText | undefined {
  switch (event.type) {
    case "batch_processed":
    case "checkpoint_written":
      return undefined;
    case "lag_near_retention":
    case "checkpoint_expired":
      return dataLossText(event);
    case "shard_claimed":
    case "handover_requested":
    case "handover_cleared":
    case "shard_handed_over":
    case "shard_released":
    case "lease_lost":
      return ownershipText(event);
    case "batch_bisected":
    case "aggregate_malformed":
    case "aggregate_misplaced":
    case "record_failed":
    case "record_skipped":
    case "record_put_aside":
    case "put_aside_failed":
      return recordText(event);
    case "processor_failed":
    case "processor_changed":
    case "processor_loaded":
    case "processor_kept":
      return processorText(event);
    case "shard_found":
    case "shard_forgotten":
    case "shard_stopped":
    case "shard_stopped_everywhere":
    case "shard_start_requested":
    case "shard_end_waiting":
    case "shard_ended":
      return shardText(event);
    default:
      return workerText(event);
  }
}

function dataLossText(event: EventNamed<"lag_near_retention" | "checkpoint_expired">): EventText {
  const { shardId } = event;
  const keeps = `the stream keeps records for ${roundDuration(event.retentionMs)}`;
  if (event.type === "lag_near_retention") {
    return {
      tone: event.percent === 80 ? "bad" : "warning",
      text:
        `${shardId} is ${
          roundDuration(event.millisBehindLatest)
        } behind, over ${event.percent} % of ` +
        `what it may be: ${keeps}, and drops what is not read by then`,
    };
  }
  return {
    tone: "bad",
    text:
      `records of ${shardId} may be lost: it was not read for ${roundDuration(event.ageMs)}, and ` +
      `${keeps}; goes on after ${shortPosition(event.checkpoint)} with what is left`,
  };
}

/** A record of a shard, or of an aggregate. */
function recordName(
  { sequenceNumber, subSequenceNumber, shardId }: EventNamed<
    "record_failed" | "record_skipped" | "record_put_aside" | "put_aside_failed"
  >,
): string {
  const place = subSequenceNumber === undefined ? "" : `:${subSequenceNumber}`;
  return `record ${sequenceNumber}${place} of ${shardId}`;
}

type EventNamed<T extends AppEvent["type"]> = Extract<AppEvent, { readonly type: T }>;

type OwnershipEvent = EventNamed<
  | "shard_claimed"
  | "handover_requested"
  | "handover_cleared"
  | "shard_handed_over"
  | "shard_released"
  | "lease_lost"
>;

function ownershipText(event: OwnershipEvent): EventText {
  const { shardId } = event;
  switch (event.type) {
    case "shard_claimed": {
      const from = event.from === null ? "it was free" : `it was ${event.from}'s`;
      const where = `after ${shortPosition(event.checkpoint)}, term ${event.term}`;
      return { tone: "good", text: `took ${shardId}: ${from}; goes on ${where}` };
    }
    case "handover_requested":
      return {
        tone: "plain",
        text: event.to === event.workerId
          ? `asked ${event.from} for ${shardId}, to share the load`
          : `${event.to} asked for ${shardId}, to share the load`,
      };
    case "handover_cleared":
      return {
        tone: "quiet",
        text: `took back the request of ${event.to} for ${shardId}: nobody answers it any more`,
      };
    case "shard_handed_over":
      return {
        tone: "plain",
        text: `gave ${shardId} to ${event.to}, which goes on after ${
          shortPosition(event.checkpoint)
        }`,
      };
    case "shard_released":
      return {
        tone: "plain",
        text: `freed ${shardId}; the next worker goes on after ${shortPosition(event.checkpoint)}`,
      };
    case "lease_lost":
      return { tone: "warning", text: `lost ${shardId}: ${event.reason}` };
    default:
      return event satisfies never;
  }
}

type RecordEvent = EventNamed<
  | "batch_bisected"
  | "aggregate_malformed"
  | "aggregate_misplaced"
  | "record_failed"
  | "record_skipped"
  | "record_put_aside"
  | "put_aside_failed"
>;

function recordText(event: RecordEvent): EventText {
  switch (event.type) {
    case "batch_bisected":
      return {
        tone: "warning",
        text:
          `attempt ${event.attempt} failed for a batch of ${count(event.records, "record")} of ` +
          `${event.shardId}, now in two halves: ${errorText(event.error)}`,
      };
    case "aggregate_malformed": {
      const others = event.aggregates === 1 ? "" : `, and ${event.aggregates - 1} more`;
      return {
        tone: "warning",
        text: `record ${event.sequenceNumber} of ${event.shardId} begins as a KPL aggregate, but ` +
          `${event.reason}; delivered as it is${others}`,
      };
    }
    case "aggregate_misplaced":
      return {
        tone: "warning",
        text: `${count(event.aggregates, "KPL aggregate")} of ${event.shardId}, from ` +
          `${event.sequenceNumber} on, with records of other shards; delivered all the same`,
      };
    case "record_failed":
      return {
        tone: "warning",
        text: `attempt ${event.attempt} failed for ${recordName(event)}: ${errorText(event.error)}`,
      };
    case "record_skipped":
      return {
        tone: "bad",
        text: `gave up ${recordName(event)} after ${count(event.attempts, "attempt")}${
          event.reason === "tooOld" ? ", because it is too old" : ""
        }, and went on`,
      };
    case "record_put_aside":
      return {
        tone: "warning",
        text: `put ${recordName(event)} into ${event.destination}`,
      };
    case "put_aside_failed":
      return {
        tone: "bad",
        text: `${event.shardId} waits: ${recordName(event)} is given up and cannot be ` +
          `put into ${event.destination}; again in ${
            formatDuration(Math.round(event.retryInMs))
          }: ${errorText(event.error)}`,
      };
    default:
      return event satisfies never;
  }
}

type ProcessorEvent = EventNamed<
  "processor_failed" | "processor_changed" | "processor_loaded" | "processor_kept"
>;

function processorText(event: ProcessorEvent): EventText {
  switch (event.type) {
    case "processor_failed": {
      const where = event.shardId === null ? "" : ` for ${event.shardId}`;
      const what = event.operation === "background"
        ? "something that the processor did not wait for"
        : event.operation === "filter"
        ? "the filter"
        : `the processor's ${event.operation}`;
      return { tone: "bad", text: `${what} failed${where}: ${errorText(event.error)}` };
    }
    case "processor_changed":
      return { tone: "plain", text: "the processor was changed" };
    case "processor_loaded": {
      const { url, version, modules, standInFor } = event;
      const what = `processes with version ${version} of ${
        shorten(url.replace(/^data:.*/s, "a data: URL"))
      } (${count(modules, "module")})`;
      return standInFor === null
        ? { tone: "good", text: what }
        : { tone: "warning", text: `${what} from the cache: ${standInFor}` };
    }
    case "processor_kept": {
      const { version, refusedVersion, error } = event;
      const why = refusedVersion === null ? "" : `version ${refusedVersion} does not start: `;
      return {
        tone: "bad",
        text: `goes on with version ${version} of the processor: ${why}${errorText(error)}`,
      };
    }
    default:
      return event satisfies never;
  }
}

type ShardEvent = EventNamed<
  | "shard_found"
  | "shard_forgotten"
  | "shard_stopped"
  | "shard_stopped_everywhere"
  | "shard_start_requested"
  | "shard_end_waiting"
  | "shard_ended"
>;

function shardText(event: ShardEvent): EventText {
  const { shardId } = event;
  switch (event.type) {
    case "shard_found": {
      const from = event.parents.length === 0 ? "" : `, made from ${event.parents.join(" and ")}`;
      return { tone: "quiet", text: `found ${shardId}${from}` };
    }
    case "shard_forgotten":
      return { tone: "quiet", text: `forgot ${shardId}: it is finished and left the stream` };
    case "shard_stopped":
      return {
        tone: event.reason === "requested" ? "plain" : "bad",
        text: `stopped ${shardId} on this worker: ${STOP_REASONS[event.reason]}`,
      };
    case "shard_stopped_everywhere":
      return {
        tone: "bad",
        text: `nobody processes ${shardId} any more: it is stopped on ${
          event.stoppedBy.join(", ")
        }`,
      };
    case "shard_start_requested":
      return { tone: "plain", text: `${shardId} may be processed here again` };
    case "shard_end_waiting":
      return {
        tone: "warning",
        text: `${event.shardId} is processed; its end waits for the checkpoint of its last record`,
      };
    case "shard_ended": {
      const children = event.children.length === 0
        ? ""
        : `; ${event.children.join(" and ")} go on from it`;
      return {
        tone: event.wasTrimmed ? "bad" : "good",
        text: event.wasTrimmed
          ? `${shardId} ended before all of it was read: the stream had dropped its records${children}`
          : `finished ${shardId}${children}`,
      };
    }
    default:
      return event satisfies never;
  }
}

type WorkerEvent = Exclude<
  AppEvent,
  | OwnershipEvent
  | RecordEvent
  | ProcessorEvent
  | ShardEvent
  | EventNamed<
    "batch_processed" | "checkpoint_written" | "lag_near_retention" | "checkpoint_expired"
  >
>;

function workerText(event: WorkerEvent): EventText {
  switch (event.type) {
    case "worker_started":
      return {
        tone: "good",
        text:
          `worker ${event.workerId} runs on stream ${event.streamName} (kinesix ${event.version})`,
      };
    case "worker_stopped":
      // Why is what the command ends with.
      return event.error
        ? { tone: "bad", text: `worker ${event.workerId} had to stop` }
        : { tone: "good", text: `worker ${event.workerId} stopped` };
    case "worker_lost":
      return {
        tone: "warning",
        text: `worker ${event.lostWorkerId} is gone: it shows no heartbeat; its shards are free`,
      };
    case "heartbeat_failed":
      return { tone: "warning", text: `no heartbeat written: ${errorText(event.error)}` };
    case "worker_fenced":
      return {
        tone: "bad",
        text:
          `gave up ${count(event.shards, "shard")}: no heartbeat was acknowledged for so long ` +
          `that others may take over`,
      };
    case "throttled": {
      const where = event.shardId === null ? "" : ` of ${event.shardId}`;
      return {
        tone: "warning",
        text: `AWS throttles ${event.operation}${where}; again in ${
          formatDuration(Math.round(event.retryInMs))
        }`,
      };
    }
    case "read_failed":
      return { tone: "warning", text: `cannot read ${event.shardId}: ${errorText(event.error)}` };
    case "task_failed":
      return { tone: "warning", text: `${event.task} failed: ${errorText(event.error)}` };
    case "row_malformed":
      return {
        tone: "bad",
        text: `left the ${event.kind} row "${event.id}" of the state table alone: ${event.reason}`,
      };
    case "listener_failed":
      return {
        tone: "bad",
        text: `a listener of ${event.eventType} failed: ${errorText(event.error)}`,
      };
    default:
      return event satisfies never;
  }
}

/** A position as a person reads it: sequence numbers have 56 digits, of which the last ones tell them apart. */
export function shortPosition(position: string): string {
  return position.replace(/^\d{12,}(?=\d{8})/, "...");
}

/** A count with its noun: `1 shard`, `2 shards`. */
export function count(amount: number, noun: string): string {
  return `${amount.toLocaleString("en-US")} ${noun}${amount === 1 ? "" : "s"}`;
}

/** An error as a person reads it. */
export function errorText({ name, message, at }: EventError): string {
  // Of the place no more than the file: the folder is the same all the time.
  const place = at === undefined ? "" : ` (${at.slice(at.lastIndexOf("/") + 1)})`;
  return `${name === "Error" ? message : `${name}: ${message}`}${place}`;
}
