/**
 * Owns: what goes wrong in a round, and when: drawn from a seed, and from nothing else.
 * Must not: do any of it.
 * Called by: `arena.ts`.
 *
 * @module
 */

import { Prng } from "../sim/world.ts";
import type { Fault } from "./proxy.ts";

/** The AWS services, each behind a proxy of its own for each slot. */
export const SERVICES = ["kinesis", "dynamoDB"] as const;
export type Service = typeof SERVICES[number];

/** How many workers there are. Each has a slot: its proxies, and one process after the other. */
export const SLOTS = 3;

/** What is done to the process of a slot; one thing after the other. */
export type ProcessAction =
  /** SIGKILL, and a new process after a while. */
  | Restart<"kill">
  /** SIGTERM, and a new process after a while. */
  | Restart<"terminate">
  /** SIGSTOP, and SIGCONT after a while. */
  | { readonly kind: "pause"; readonly ms: number }
  /** A new process with the same worker id, while the old one is paused; then the old one goes on. */
  | { readonly kind: "replace"; readonly ms: number };

interface Restart<K extends string> {
  readonly kind: K;
  readonly downMs: number;
  readonly hasNewId: boolean;
  /** The new process gets a SIGTERM so many milliseconds after its start, and is followed by another one; null if not. */
  readonly earlyStopMs: number | null;
}

/** What is done to the network of a slot, and to the stream; at the same time as anything else. */
export type WorldAction =
  | {
    readonly kind: "network";
    readonly service: Service;
    readonly fault: Fault;
    readonly ms: number;
    /** Whether the connections break when the fault ends. If not, what was held is passed on late. */
    readonly isCutAfter: boolean;
  }
  | { readonly kind: "cut"; readonly service: Service }
  /** `where` says which of the shards that can be split or merged, from 0 to 1. */
  | { readonly kind: "reshard"; readonly where: number; readonly prefersMerge: boolean }
  | { readonly kind: "burst"; readonly records: number };

/** What happens, when, and to whom. */
export interface Step<A> {
  /** Milliseconds after the beginning of the round. */
  readonly at: number;
  readonly slot: number;
  readonly action: A;
}

/** A round: `calm` ones have nothing but clean stops, new workers and resharding. */
export interface Round {
  readonly isCalm: boolean;
  readonly durationMs: number;
  /** In the order of time. */
  readonly process: readonly Step<ProcessAction>[];
  readonly world: readonly Step<WorldAction>[];
}

/** Plans a round. */
export function planRound(seed: number, round: number): Round {
  const random = new Prng(seed * 1_009 + round);
  const isCalm = round % 3 === 0;
  const durationMs = random.whole(5_000, 8_000);
  const at = (): number => random.whole(0, durationMs - 2_000);
  const process = Array.from({ length: isCalm ? 2 : random.whole(1, 3) }, () => ({
    at: at(),
    slot: random.whole(0, SLOTS - 1),
    action: isCalm ? restart("terminate", random) : processAction(random),
  }));
  const world: Step<WorldAction>[] = [{ at: at(), slot: 0, action: reshard(random) }];
  if (random.chance(0.5)) {
    world.push({
      at: at(),
      slot: 0,
      action: { kind: "burst", records: random.whole(500, 2_000) },
    });
  }
  for (let i = isCalm ? 0 : random.whole(1, 4); i > 0; i--) {
    const slot = random.whole(0, SLOTS - 1);
    world.push({ at: at(), slot, action: networkAction(random) });
  }
  return { isCalm, durationMs, process: inOrder(process), world: inOrder(world) };
}

/** An action as a person reads it. */
export function describe({ slot, action }: Step<ProcessAction | WorldAction>): string {
  const who = `slot ${slot}`;
  switch (action.kind) {
    case "kill":
    case "terminate": {
      const id = action.hasNewId ? "a new worker id" : "the same worker id";
      const signal = action.kind === "kill" ? "SIGKILL" : "SIGTERM";
      const early = action.earlyStopMs === null ? "" : `, SIGTERM after ${action.earlyStopMs} ms`;
      return `${who}: ${signal}, ${action.downMs} ms later a new process with ${id}${early}`;
    }
    case "pause":
      return `${who}: SIGSTOP for ${action.ms} ms`;
    case "replace":
      return `${who}: SIGSTOP, a new process with the same worker id, SIGCONT after ${action.ms} ms`;
    case "network": {
      const { fault, service, ms, isCutAfter } = action;
      const detail = fault.kind === "delay"
        ? ` of ${fault.ms} ms`
        : fault.kind === "hold"
        ? ` of ${fault.direction}`
        : "";
      const end = isCutAfter ? ", then a cut" : "";
      return `${who}: ${service} ${fault.kind}${detail} for ${ms} ms${end}`;
    }
    case "cut":
      return `${who}: ${action.service} connections cut`;
    case "reshard":
      return `${action.prefersMerge ? "merge" : "split"} at ${action.where.toFixed(2)}`;
    case "burst":
      return `burst of ${action.records} records`;
    default:
      return action satisfies never;
  }
}

function processAction(random: Prng): ProcessAction {
  const kind = random.pick(["kill", "kill", "pause", "pause", "terminate", "replace"] as const);
  switch (kind) {
    case "kill":
    case "terminate":
      return restart(kind, random);
    case "pause":
      // Shorter and longer than the time-out after which others take over.
      return {
        kind,
        ms: random.chance(0.5) ? random.whole(200, 2_500) : random.whole(2_500, 6_000),
      };
    case "replace":
      return { kind, ms: random.whole(0, 5_000) };
    default:
      return kind satisfies never;
  }
}

function restart<K extends string>(kind: K, random: Prng): Restart<K> {
  return {
    kind,
    downMs: random.chance(0.4) ? 0 : random.whole(0, 4_000),
    hasNewId: random.chance(0.5),
    earlyStopMs: random.chance(0.3) ? random.whole(20, 800) : null,
  };
}

function networkAction(random: Prng): WorldAction {
  const service = random.chance(0.7) ? "dynamoDB" : "kinesis";
  if (random.chance(0.1)) return { kind: "cut", service };
  return {
    kind: "network",
    service,
    fault: random.pick<() => Fault>([
      () => ({ kind: "delay", ms: random.whole(20, 400) }),
      () => ({ kind: "hold", direction: "both" }),
      // Writes that come late are the hardest to withstand.
      () => ({ kind: "hold", direction: "requests" }),
      () => ({ kind: "hold", direction: "requests" }),
      () => ({ kind: "hold", direction: "replies" }),
      () => ({ kind: "refuse" }),
    ])(),
    ms: random.chance(0.5) ? random.whole(200, 2_500) : random.whole(2_500, 6_000),
    isCutAfter: random.chance(0.25),
  };
}

function reshard(random: Prng): WorldAction {
  return { kind: "reshard", where: random.next(), prefersMerge: random.chance(0.5) };
}

function inOrder<A>(steps: readonly Step<A>[]): readonly Step<A>[] {
  return [...steps].sort((a, b) => a.at - b.at);
}
