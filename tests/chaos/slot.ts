/**
 * Owns: a place for a worker: its proxies, and one process after the other behind them; what is done to them.
 * Must not: choose what is done; know the stream.
 * Called by: `arena.ts`.
 *
 * @module
 */

import { type Cluster, SETTINGS, waitFor, type WorkerProcess } from "../local/cluster.ts";
import { BrokenPromise } from "./books.ts";
import { Proxy } from "./proxy.ts";
import { type ProcessAction, type Service, SERVICES, type WorldAction } from "./schedule.ts";
import type { Story } from "./story.ts";

/** What starting or ending a process may cost on a busy machine, in milliseconds. */
export const SLACK = 3_000;
/** A process that cannot reach its services tries for a while before it gives up. */
const START_WITHIN = 60_000;
/** In which a process that was replaced finds that out and stops. */
const NOTICE_WITHIN = 2 * SETTINGS.heartbeat + SETTINGS.shutdownTimeout + SLACK;
const SLOW_RECORDS = { every: 23, ms: 150 } as const;

/** What a slot needs. */
export interface SlotDeps {
  readonly cluster: Cluster;
  readonly story: Story;
  readonly onEvent: (pid: number, event: WorkerProcess["events"][number]) => void;
  readonly onFailure: (error: Error) => void;
  /** Aborts when the run is over, well or not. */
  readonly signal: AbortSignal;
}

/** A process, and how it is expected to end. */
interface Life {
  readonly process: WorkerProcess;
  ending: "none" | "kill" | "terminate" | "replace";
  hasExited: boolean;
  /** A process that was started with the same worker id while this one ran, or the other way round. */
  rival?: Life;
}

/** A slot. */
export class Slot implements AsyncDisposable {
  readonly #deps: SlotDeps;
  readonly #name: string;
  readonly #proxies: Readonly<Record<Service, Proxy>>;
  /** Counts the changes of a proxy, so that the end of a fault does not end a later one. */
  readonly #faults: Record<Service, number> = { kinesis: 0, dynamoDB: 0 };
  #disturbances = 0;
  #disturbedAt = 0;
  /** The processes that it ever had. */
  readonly pids: number[] = [];
  #life: Life | undefined;
  #ids = 1;

  private constructor(name: string, proxies: Readonly<Record<Service, Proxy>>, deps: SlotDeps) {
    this.#name = name;
    this.#proxies = proxies;
    this.#deps = deps;
  }

  static async open(name: string, deps: SlotDeps): Promise<Slot> {
    const { kinesisEndpoint = "", dynamoDBEndpoint = "" } = deps.cluster.options;
    const kinesis = await Proxy.start(kinesisEndpoint);
    return new Slot(name, { kinesis, dynamoDB: await Proxy.start(dynamoDBEndpoint) }, deps);
  }

  get workerId(): string {
    return `${this.#name}${this.#ids}`;
  }

  /** Where its processes connect to. */
  get urls(): readonly string[] {
    return SERVICES.map((service) => this.#proxies[service].url);
  }

  /** Starts a process if there is none, and waits until it runs. False if it ended instead. */
  async ensureRuns(): Promise<boolean> {
    const life = this.#life ?? this.#start();
    await waitFor(() => hasStarted(life) || life.hasExited, {
      what: `${this.workerId} to start, or to give up`,
      within: START_WITHIN,
    });
    return !life.hasExited;
  }

  /** Does something to the process, if there is one that runs. */
  async act(action: ProcessAction): Promise<void> {
    if (!await this.ensureRuns()) return;
    const life = this.#life;
    if (life === undefined || life.hasExited) return;
    switch (action.kind) {
      case "kill":
        this.#signal(life, "SIGKILL", "kill");
        await life.process.status;
        break;
      case "terminate":
        await this.#terminate(life);
        break;
      case "pause":
        this.#signal(life, "SIGSTOP");
        await this.#pause(action.ms);
        this.#signal(life, "SIGCONT");
        return;
      case "replace":
        return await this.#replace(life, action.ms);
    }
    await this.#pause(action.downMs);
    if (action.hasNewId) this.#ids += 1;
    const next = this.#start();
    if (action.earlyStopMs === null) return;
    await this.#pause(action.earlyStopMs);
    if (!next.hasExited) await this.#terminate(next);
    if (!this.#deps.signal.aborted) this.#start();
  }

  /** Does something to the network. */
  async disturb(action: Extract<WorldAction, { service: Service }>): Promise<void> {
    const { service } = action;
    const proxy = this.#proxies[service];
    this.#disturbances += 1;
    if (action.kind === "network") {
      const fault = ++this.#faults[service];
      proxy.set(action.fault);
      await this.#pause(action.ms);
      if (this.#faults[service] === fault) proxy.set({ kind: "none" });
    }
    if (action.kind === "cut" || action.isCutAfter) proxy.cut();
    this.#disturbances -= 1;
    this.#disturbedAt = performance.now();
  }

  /** Stops the process cleanly. */
  async stop(): Promise<void> {
    if (this.#life !== undefined) await this.#terminate(this.#life);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of SERVICES) await this.#proxies[service][Symbol.asyncDispose]();
  }

  #start(): Life {
    const { cluster, story, onEvent } = this.#deps;
    const [kinesisEndpoint = "", dynamoDBEndpoint = ""] = this.urls;
    const process = cluster.spawn(this.workerId, {
      kinesisEndpoint,
      dynamoDBEndpoint,
      slow: SLOW_RECORDS,
      // Each process of a slot reads in the other way than the one before it.
      retrieval: this.pids.length % 2 === 0 ? "fan-out" : "polling",
      onEvent: (event) => onEvent(process.pid, event),
    });
    story.step(`${this.workerId} is process ${process.pid}`);
    this.pids.push(process.pid);
    const life: Life = { process, ending: "none", hasExited: false };
    this.#life = life;
    void process.status.then((status) => this.#onExit(life, status));
    return life;
  }

  #onExit(life: Life, { code, signal }: Deno.CommandStatus): void {
    const { story, onFailure } = this.#deps;
    const { process, ending } = life;
    life.hasExited = true;
    const isRivalLeft = isReplaced(process) && life.rival?.hasExited === false;
    if (this.#life === life) {
      this.#life = isRivalLeft ? life.rival : undefined;
      if (this.#life !== undefined) this.#life.ending = "none";
    }
    story.step(`${process.workerId} (process ${process.pid}) ended with ${signal ?? code}`);
    if (this.#deps.signal.aborted) return;
    const isGood = ending === "kill" || (ending === "terminate" && code === 0) ||
      (ending === "replace" && code === 1 && isReplaced(process)) ||
      // When both were cut off for so long that their row is gone, whoever registers last is the newer one.
      (code === 1 && isReplaced(process) && life.rival !== undefined && this.#wasDisturbed) ||
      // Until it listens for signals, one ends it.
      (ending === "terminate" && signal === "SIGTERM" && process.events.length === 0) ||
      // Who cannot reach its services when it starts says so and gives up.
      (!hasStarted(life) && ending === "none");
    if (isGood) return;
    onFailure(
      new BrokenPromise(
        "a worker ends when it is told to, and in the right way",
        `${process.workerId} (process ${process.pid}, expected: ${ending}) ended with ` +
          `${signal ?? code} and said: ${process.stderr.join(" | ")}`,
      ),
    );
  }

  async #terminate(life: Life): Promise<void> {
    const before = performance.now();
    this.#signal(life, "SIGTERM", "terminate");
    const within = SETTINGS.shutdownTimeout + SLACK;
    await waitFor(() => life.hasExited, { what: `${life.process.workerId} to stop`, within });
    this.#deps.story.step(`it took ${Math.round(performance.now() - before)} ms`);
  }

  async #replace(older: Life, ms: number): Promise<void> {
    this.#signal(older, "SIGSTOP");
    const since = performance.now();
    const newer = this.#start();
    older.rival = newer;
    newer.rival = older;
    await this.#pause(ms);
    if (!await this.ensureRuns()) {
      // The newer one could not reach its services; the older one may have kept its row, and goes on.
      this.#signal(older, "SIGCONT");
      if (!older.hasExited) this.#life = older;
      return;
    }
    older.ending = "replace";
    this.#signal(older, "SIGCONT");
    const resumedAt = performance.now();
    // It notices with its next heartbeat, once it can write one.
    while (!older.hasExited && !newer.hasExited && performance.now() - resumedAt < NOTICE_WITHIN) {
      await this.#pause(50);
    }
    if (older.hasExited || newer.hasExited || this.#deps.signal.aborted) return;
    if (this.#isFaulty(since)) return this.#signal(older, "SIGKILL", "kill");
    this.#deps.onFailure(
      new BrokenPromise("the newer one wins", `process ${older.process.pid} did not stop`),
    );
  }

  /** Whether the network was disturbed so lately that a process may still not know what happened. */
  get #wasDisturbed(): boolean {
    return this.#isFaulty(performance.now() - NOTICE_WITHIN);
  }

  /** Whether the network was disturbed at any time since then. */
  #isFaulty(since: number): boolean {
    return this.#disturbances > 0 || this.#disturbedAt > since;
  }

  #signal(life: Life, signal: Deno.Signal, ending?: Life["ending"]): void {
    if (life.hasExited) return;
    if (ending !== undefined) life.ending = ending;
    this.#deps.story.step(`${signal} to ${life.process.workerId} (process ${life.process.pid})`);
    try {
      life.process.kill(signal);
    } catch (error) {
      // It ended just now, which is noticed elsewhere.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, this.#deps.signal);
  }
}

/** Waits; ends early, without an error, when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

function hasStarted({ process }: Life): boolean {
  return process.events.some((event) => event.type === "worker_started");
}

function isReplaced({ events }: WorkerProcess): boolean {
  return events.some((event) =>
    event.type === "worker_stopped" && event.error?.name === "WorkerReplacedError"
  );
}
