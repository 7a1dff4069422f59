/**
 * Owns: how a call travels from a process to the table or the stream and back, and everything that goes wrong on the way.
 * Must not: know what the calls mean.
 * Called by: `sim_ports.ts`.
 *
 * @module
 */

import type { Row, RowChange } from "../../src/core/lease.ts";
import type { CallFaults } from "./scenario.ts";
import type { Host, Prng, World } from "./world.ts";

/** A machine with a network that can be cut. */
export interface NetworkHost extends Host {
  readonly name: string;
  /** Whether what it sends arrives nowhere. */
  isDeaf: { requests: boolean; replies: boolean };
  /** Calls that its code waits for. */
  pendingCalls: number;
}

/** Why a call failed. No error: it would gather its stack, which nobody reads, for a third of all calls of some seeds. */
export class CallFailure {
  readonly kind: "throttled" | "unavailable";
  readonly maybeApplied: boolean;
  constructor(kind: "throttled" | "unavailable", maybeApplied: boolean) {
    this.kind = kind;
    this.maybeApplied = maybeApplied;
  }

  get message(): string {
    return this.kind === "throttled" ? "the service asks to slow down" : "no answer";
  }
}

/** What the network does to calls. */
export interface NetworkOptions {
  readonly world: World;
  readonly random: Prng;
  readonly faults: CallFaults;
  readonly timeoutMs: number;
  /** Whether faults happen now. */
  readonly isFaulty: () => boolean;
  /** Until when the service answers nothing, in virtual time. */
  readonly outageUntil: () => number;
  /** What a directed case decides instead of chance. */
  readonly direct?: ((call: Sent) => Direction | undefined) | undefined;
  /** Is told what went wrong. */
  readonly onFault: (host: NetworkHost, task: string, what: Fate) => void;
}

/** A call as it can be told from others. */
export interface Sent {
  readonly host: NetworkHost;
  readonly task: string;
  readonly isWrite: boolean;
  /** What it writes. */
  readonly change?: RowChange<Row>;
}

/** One call. */
export interface Call<T> extends Sent {
  readonly signal: AbortSignal;
  /** What the service does when the request arrives. */
  readonly serve: () => T;
  /** What the service does a little later, if the answer takes two looks. */
  readonly finish?: (first: T) => T;
}

/** What becomes of a call in a directed case. */
export interface Direction {
  readonly fate?: Fate;
  /** Gets each look of the service at the request, to have it happen whenever it likes. */
  readonly hold?: ((look: () => void) => void) | undefined;
}

/** How a call goes. */
export type Fate =
  | "fine"
  | "slow"
  | "request lost"
  | "reply lost"
  | "delayed"
  | "twice"
  | "throttled"
  | "5xx before"
  | "5xx after";

/** How often the second page of an answer takes long. */
const SLOW_PAGE = 0.4;

/** The way to one service. */
export class SimNetwork {
  readonly #options: NetworkOptions;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Makes a call. The promise never settles if the process crashes. */
  call<T>(call: Call<T>): Promise<T> {
    const { world, timeoutMs, onFault } = this.#options;
    const { host, signal, task, isWrite } = call;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (signal.aborted) {
      reject(signal.reason);
      return promise;
    }
    host.pendingCalls += 1;
    let isSettled = false;
    const settle = (answer: () => void): void => {
      if (isSettled) return;
      isSettled = true;
      host.pendingCalls -= 1;
      timer.isCancelled = true;
      signal.removeEventListener("abort", onAbort);
      answer();
    };
    const fail = (kind: "throttled" | "unavailable", maybeApplied: boolean): void =>
      settle(() => reject(new CallFailure(kind, maybeApplied && isWrite)));
    const onAbort = (): void => settle(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = world.after(timeoutMs, () => fail("unavailable", true), host);
    const direction = this.#options.direct?.(call);
    const fate = direction?.fate ?? this.#fate(isWrite);
    if (fate !== "fine") onFault(host, task, fate);
    this.#travel(call, fate, {
      hold: direction?.hold,
      onReply: (value) => settle(() => resolve(value)),
      onFailure: fail,
    });
    return promise;
  }

  #travel<T>(call: Call<T>, fate: Fate, back: {
    readonly hold: Direction["hold"];
    readonly onReply: (value: T) => void;
    readonly onFailure: (kind: "throttled" | "unavailable", maybeApplied: boolean) => void;
  }): void {
    const { world, outageUntil } = this.#options;
    const { host, serve, finish } = call;
    if (host.isDeaf.requests || fate === "request lost") return;
    const reply = (answer: () => void): void => {
      if (fate === "reply lost" || fate === "delayed") return;
      world.after(this.#latencyMs(fate), () => {
        if (!host.isDeaf.replies) answer();
      }, host);
    };
    const hold = back.hold ??
      ((look: () => void, afterMs: number) => void world.after(afterMs, look));
    hold(() => {
      if (world.now < outageUntil()) return;
      if (fate === "throttled") return reply(() => back.onFailure("throttled", false));
      if (fate === "5xx before") return reply(() => back.onFailure("unavailable", true));
      const value = serve();
      if (fate === "twice") {
        world.after(this.#latencyMs("delayed"), () => {
          if (world.now >= outageUntil()) serve();
        });
      }
      if (fate === "5xx after") return reply(() => back.onFailure("unavailable", true));
      if (finish === undefined) return reply(() => back.onReply(value));
      hold(() => {
        const whole = finish(value);
        reply(() => back.onReply(whole));
      }, this.#nextPageMs());
    }, this.#latencyMs(fate));
  }

  #fate(isWrite: boolean): Fate {
    const { random, faults, isFaulty } = this.#options;
    if (!isFaulty()) return "fine";
    if (random.chance(faults.slow)) return "slow";
    if (random.chance(faults.requestLost)) return "request lost";
    if (random.chance(faults.replyLost)) return "reply lost";
    if (isWrite && random.chance(faults.delayed)) return "delayed";
    if (isWrite && random.chance(faults.twice)) return "twice";
    if (random.chance(faults.throttled)) return "throttled";
    if (random.chance(faults.serverError)) return random.chance(0.5) ? "5xx before" : "5xx after";
    return "fine";
  }

  /** Between two pages of an answer the service may ask to slow down. */
  #nextPageMs(): number {
    const { random, isFaulty, faults, timeoutMs } = this.#options;
    return isFaulty() && random.chance(SLOW_PAGE)
      ? random.between(faults.latencyMax, timeoutMs * 0.8)
      : this.#latencyMs("fine");
  }

  #latencyMs(fate: Fate): number {
    const { random, faults, timeoutMs } = this.#options;
    if (fate === "slow") return random.between(faults.latencyMax, timeoutMs * 2);
    if (fate === "delayed") return timeoutMs * random.between(0.5, 5);
    return random.between(faults.latencyMin, faults.latencyMax);
  }
}
