/**
 * Owns: what becomes of the events: a line of JSON each for programs, or sentences and a throughput now and then for people.
 * Must not: hold up the worker; lines wait in a queue.
 * Called by: `run.ts` and `replay_watch.ts`.
 *
 * @module
 */

import type { Ansis } from "ansis";
import { formatDuration } from "../core/duration.ts";
import type { AppEvent } from "../events.ts";
import { batchText } from "./batch_text.ts";
import { count, type EventText, eventText, type Tone } from "./event_text.ts";
import { Flood } from "./flood.ts";
import { isLogged, type LogLevel } from "./log_level.ts";
import { ShardMoves } from "./shard_moves.ts";
import { OutputQueue } from "./output_queue.ts";
import { jsonText, printable, type Terminal, wantsColor } from "./terminal.ts";

/** Where a worker's events go. */
export interface EventLog {
  /** Is told every event. */
  readonly onEvent: (event: AppEvent) => void;
  /** Writes a line of something else to stdout, which is not mixed with others. */
  readonly onLine: (line: string) => void;
  /** Resolves with the reason when nobody can read the log any more. */
  readonly failed: Promise<Error>;
  /** Writes out what waits. */
  close(): Promise<void>;
}

/** A log of one JSON object a line on stdout. */
export function openJsonLog(terminal: Terminal, least: LogLevel = "debug"): EventLog {
  const queue = new OutputQueue((text) => terminal.write(text));
  return {
    onEvent: (event) => {
      if (isLogged(event, least)) queue.push(jsonLine(event));
    },
    onLine: (line) => queue.push(line),
    failed: queue.failed,
    close: () => queue.flushed(),
  };
}

/** A log of sentences on stderr. */
export async function openPrettyLog(
  terminal: Terminal,
  least: LogLevel = "info",
): Promise<EventLog> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStderrInteractive) ? 1 : 0);
  const queue = new OutputQueue((text) => terminal.writeError(text));
  const lines = new OutputQueue((text) => terminal.write(text));
  const pretty = new PrettyLog({
    push: (line) => queue.push(line),
    paint,
    nowMs: () => performance.now(),
    least,
  });
  const timer = setInterval(() => pretty.tick(), TICK_MS);
  return {
    onEvent: (event) => pretty.onEvent(event),
    onLine: (line) => lines.push(line),
    failed: Promise.race([queue.failed, lines.failed]),
    async close() {
      clearInterval(timer);
      pretty.summarize();
      await Promise.all([queue.flushed(), lines.flushed()]);
    },
  };
}

const TICK_MS = 1_000;
/** As wide as a time. */
const INDENT = " ".repeat(9);

/** While records flow, a line tells the throughput this often; when they stop it does at the next tick. */
const SUMMARY_MS = 10_000;

const TONES: { readonly [T in Tone]: (paint: Ansis, text: string) => string } = {
  plain: (_paint, text) => text,
  good: (paint, text) => paint.green(text),
  quiet: (paint, text) => paint.gray(text),
  warning: (paint, text) => paint.yellow(text),
  bad: (paint, text) => paint.red(text),
};

/** What was processed since the last summary. */
interface Throughput {
  readonly sinceMs: number;
  records: number;
  bytes: number;
  /** The records at the last tick: no more of them since means that they stopped. */
  recordsAtTick: number;
  readonly millisBehind: Map<string, number>;
}

/** What the log that people read needs. */
export interface PrettyLogOptions {
  readonly push: (line: string) => void;
  readonly paint: Ansis;
  /** Any clock that only goes forward. */
  readonly nowMs: () => number;
  /**
   * What is less important is left out.
   *
   * @default {"info"}
   */
  readonly least?: LogLevel;
}

/** The log that people read. */
export class PrettyLog {
  readonly #options: PrettyLogOptions;
  readonly #flood = new Flood();
  readonly #moves = new ShardMoves();
  #throughput: Throughput | null = null;

  constructor(options: PrettyLogOptions) {
    this.#options = options;
  }

  onEvent(event: AppEvent): void {
    const { least = "info" } = this.#options;
    const isDetailed = least === "debug";
    // The summary is what batches are to those who do not want to read of each.
    if (event.type === "batch_processed" && least === "info") this.#count(event);
    const said = eventText(event) ?? (isDetailed ? batchText(event) : undefined);
    if (!said || !isLogged(event, least)) return;
    if (!isDetailed && this.#moves.add(event)) return;
    this.#tellMoves();
    if (!isDetailed && !this.#flood.lets(event.type, this.#options.nowMs())) return;
    this.#say(event.time, said);
  }

  /** Tells the throughput, and what was held back, when it is time to. */
  tick(): void {
    this.#tellMoves();
    this.#tellHeldBack(this.#flood.drain(this.#options.nowMs()));
    const throughput = this.#throughput;
    if (!throughput) return;
    const hasStopped = throughput.records === throughput.recordsAtTick;
    throughput.recordsAtTick = throughput.records;
    const isDue = this.#options.nowMs() - throughput.sinceMs >= SUMMARY_MS;
    if (hasStopped || isDue) this.summarize();
  }

  /** Tells the throughput since the last time, if there was any, and what was held back. */
  summarize(): void {
    this.#tellMoves();
    this.#tellHeldBack(this.#flood.drain(Infinity));
    const throughput = this.#throughput;
    if (!throughput) return;
    this.#throughput = null;
    const { records, bytes, millisBehind } = throughput;
    const seconds = (this.#options.nowMs() - throughput.sinceMs) / 1_000;
    const behindMs = Math.max(...millisBehind.values());
    const behind = behindMs === 0 ? "caught up" : `${formatDuration(behindMs)} behind`;
    // A rate over a moment says nothing.
    const rate = seconds < SUMMARY_MS / 1_000
      ? ""
      : `, ${Math.round(records / seconds).toLocaleString("en-US")}/s, ${size(bytes / seconds)}/s`;
    this.#line(
      new Date(),
      `processed ${count(records, "record")} (${size(bytes)}${rate}) of ${
        count(millisBehind.size, "shard")
      }, ${behind}`,
    );
  }

  #tellMoves(): void {
    for (const move of this.#moves.drain()) this.#say(move.time, move);
  }

  #say(time: string, { tone, text }: EventText): void {
    // What a record made a processor say must not pass for a line of the log, which begins with a time.
    const lines = printable(text).replaceAll("\n", `\n${INDENT}`);
    this.#line(new Date(time), TONES[tone](this.#options.paint, lines));
  }

  #tellHeldBack(heldBack: ReadonlyMap<string, number>): void {
    for (const [type, amount] of heldBack) {
      this.#line(
        new Date(),
        this.#options.paint.yellow(`and ${count(amount, "event")} more of ${type}`),
      );
    }
  }

  #count(event: Extract<AppEvent, { readonly type: "batch_processed" }>): void {
    // An empty read tells how far behind a shard is, but is no reason for a line.
    if (event.records === 0 && !this.#throughput) return;
    this.#throughput ??= {
      sinceMs: this.#options.nowMs(),
      records: 0,
      bytes: 0,
      recordsAtTick: 0,
      millisBehind: new Map(),
    };
    this.#throughput.records += event.records;
    this.#throughput.bytes += event.bytes;
    this.#throughput.millisBehind.set(event.shardId, event.millisBehindLatest);
  }

  #line(time: Date, text: string): void {
    const { push, paint } = this.#options;
    push(`${paint.dim(time.toTimeString().slice(0, 8))} ${text}`);
  }
}

/** An amount of bytes as a person reads it. */
function size(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  return bytes < 1_000_000
    ? `${(bytes / 1_000).toFixed(1)} kB`
    : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** An event as one line of JSON, the fields that every event has first. */
function jsonLine(event: AppEvent): string {
  const { type, time, workerId, ...rest } = event;
  const shard = "shardId" in rest ? { shardId: rest.shardId } : {};
  return jsonText({ type, time, workerId, ...shard, ...rest });
}
