/**
 * Owns: what the doctor has seen, and what it says about it, as data.
 * Must not: ask for it, or judge it.
 * Called by: `observe.ts` makes it, the families of checks judge it.
 *
 * @module
 */

import type { ResolvedConfig } from "../../core/config.ts";
import type { ShardRow, WorkerRow } from "../../core/lease.ts";
import type { FailureKind } from "../../errors.ts";
import type { ShardInfo } from "../../ports.ts";
import type { Permission } from "../permissions.ts";

/** What came of a call. */
export type Answer<T> =
  | { readonly kind: "answered"; readonly value: T }
  | {
    readonly kind: "failed";
    /** As ever; but what is `denied` lacks the permission, and nothing else: not credentials, or a key that can be used. */
    readonly failure: FailureKind | "credentials" | "key";
    readonly message: string;
  }
  | { readonly kind: "notAsked"; readonly why: string };

/** A stream. */
export interface StreamFacts {
  readonly arn: string;
  readonly status: string;
  readonly mode: string;
  readonly retentionMs: number;
}

/** A table. */
export interface TableFacts {
  readonly status: string;
  /** Its key, as `Stream (HASH, S)`. */
  readonly keys: readonly string[];
  readonly isPaidPerRequest: boolean;
  readonly readUnits: number;
  readonly writeUnits: number;
}

/** What the first read after the checkpoint of a shard gave. */
export interface ShardLag {
  readonly shardId: string;
  /** How old the oldest record is that is not finished, in milliseconds; null if there is none. */
  readonly ageMs: number | null;
  /** When the last finished record arrived, about, in milliseconds since the epoch; null if nothing is finished. */
  readonly positionAt: number | null;
}

/** A look at the rows. */
export interface Look {
  readonly workers: readonly WorkerRow[];
  readonly shards: readonly ShardRow[];
  readonly malformed: readonly { readonly row: string; readonly reason: string }[];
}

/** Everything that the doctor has seen. */
export interface Observation {
  readonly appName: string;
  readonly streamName: string;
  readonly tableName: string;
  readonly region: Answer<string>;
  readonly config: ResolvedConfig;
  /** The time by AWS's clock as far as it is known, in milliseconds since the epoch. */
  readonly now: number;
  /** By how much this machine's clock is ahead of AWS's; null if no answer said what time it is. */
  readonly clockAheadMs: number | null;
  readonly credentials: Answer<unknown>;
  /** Whether the services answered at all. */
  readonly services: { readonly Kinesis: Answer<unknown>; readonly DynamoDB: Answer<unknown> };
  /** The permissions that were tried. */
  readonly permissions: readonly (Permission & { readonly answer: Answer<unknown> })[];
  readonly stream: Answer<StreamFacts>;
  readonly shards: Answer<readonly ShardInfo[]>;
  /** Of the shards that were read; no more than some. */
  readonly lags: Answer<readonly ShardLag[]>;
  /** The registered consumer of fan-out, null in it if there is none yet; null with polling. */
  readonly consumer: { readonly name: string; readonly status: Answer<string | null> } | null;
  /** The stream of the failure records, if there is one. */
  readonly failureStream: { readonly name: string; readonly facts: Answer<StreamFacts> } | null;
  /** Null if there is no table. */
  readonly table: Answer<TableFacts | null>;
  /** The rows, twice if there is a worker. The last one counts. */
  readonly looks: readonly Look[];
}

/** How a check ended. `unknown`: it could not be made. */
export type Verdict = "ok" | "warning" | "problem" | "unknown";

/** What a check found. */
export interface Finding {
  readonly verdict: Verdict;
  /** What is so. */
  readonly what: string;
  /** What follows from it. */
  readonly meaning?: string;
  /** What to do about it: a command where there is one. */
  readonly remedy?: string;
}

/** Something that is looked at. */
export interface Check {
  readonly name: string;
  /** Undefined if it has nothing to say here, as when there is no table whose rows could be wrong. */
  judge(seen: Observation): Finding | undefined;
}

/** A finding that all is well. */
export function ok(what: string): Finding {
  return { verdict: "ok", what };
}

/** A finding that says nothing, because a call that it needs gave nothing. */
export function unknown(answer: Exclude<Answer<unknown>, { kind: "answered" }>): Finding {
  return {
    verdict: "unknown",
    what: answer.kind === "failed" ? answer.message : `not asked: ${answer.why}`,
  };
}

/** Some names, and how many more there are. */
export function names(all: readonly string[]): string {
  const shown = all.slice(0, NAMES_MAX).join(", ");
  return all.length > NAMES_MAX ? `${shown} and ${all.length - NAMES_MAX} more` : shown;
}

const NAMES_MAX = 5;
