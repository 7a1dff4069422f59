/**
 * Owns: what the user's code is given beside records, and the record that it means if none is named.
 * Must not: call it.
 * Called by: `runtime/user_code.ts`, and whoever calls the user's code by it.
 *
 * Classes: there is one of each for each record in hand, and a literal would keep it long after it is finished.
 *
 * @module
 */

import type { KinesisRecord, ProcessContext } from "../processor.ts";

/** What a call is about. */
export class InHand {
  /** The record that `context.checkpoint()` means if none is named; undefined for everything that was given. */
  readonly last: KinesisRecord | undefined;
  readonly attempt: number;
  readonly millisBehindLatest: number;

  constructor(
    last: KinesisRecord | undefined,
    about: Pick<ProcessContext, "attempt" | "millisBehindLatest">,
  ) {
    this.last = last;
    this.attempt = about.attempt;
    this.millisBehindLatest = about.millisBehindLatest;
  }
}

/** The context of one call. */
export class CallContext implements ProcessContext {
  readonly shardId: string;
  readonly workerId: string;
  readonly streamName: string;
  readonly attempt: number;
  readonly millisBehindLatest: number;
  readonly term: number;
  readonly signal: AbortSignal;
  readonly checkpoint: ProcessContext["checkpoint"];
  readonly transact: ProcessContext["transact"];

  constructor(
    turn: Pick<ProcessContext, "shardId" | "workerId" | "streamName" | "term">,
    about: Pick<ProcessContext, "attempt" | "millisBehindLatest">,
    means: Pick<ProcessContext, "signal" | "checkpoint" | "transact">,
  ) {
    this.shardId = turn.shardId;
    this.workerId = turn.workerId;
    this.streamName = turn.streamName;
    this.attempt = about.attempt;
    this.millisBehindLatest = about.millisBehindLatest;
    this.term = turn.term;
    this.signal = means.signal;
    this.checkpoint = means.checkpoint;
    this.transact = means.transact;
  }
}
