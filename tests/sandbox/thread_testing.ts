// Owns: a worker on a stream in memory whose processor, given as the text of a module, runs in threads or in this one.
// Must not: assert anything.
// Called by: the tests of threads and sandbox.
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { startInThreads } from "../../src/cli/processor_threads.ts";
import { planThreads, type ThreadPlan } from "../../src/cli/thread_flags.ts";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import {
  type LoadedProcessor,
  startProcessor,
} from "../../src/cli/load_processor/load_processor.ts";
import type { ModuleGraph } from "../../src/cli/load_processor/module_graph.ts";
import type { ReactoKinesixConfig } from "../../src/core/config.ts";
import type { AppEvent, AppEventOf, AppEventType } from "../../src/events.ts";

/** How a processor is run. */
export interface Setup {
  /** The text of the module. Unless it is sandboxed, `log(line)` in it writes a line of the {@linkcode Rig}; `logged()` counts them. */
  readonly code: string;
  /** Undefined: in the main thread. */
  readonly threads?: number;
  readonly isSandboxed?: boolean;
  /** Whether each thread has a process of its own, without being sandboxed. */
  readonly hasProcesses?: boolean;
  /** Whether the module comes from a server on this machine; it is a `data:` URL otherwise. */
  readonly isServed?: boolean;
  /** Modules beside a served one, by name. */
  readonly beside?: Readonly<Record<string, string>>;
  /** Such as `{ "sandbox-allow-env": "HOME" }`. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly config?: ReactoKinesixConfig;
  readonly shards?: number;
  /** Records to be there from the start: keys and texts. */
  readonly records?: readonly (readonly [key: string, text: string])[];
}

const CONFIG: ReactoKinesixConfig = { checkpointFrequency: 0, emptyReceiveDelay: 200 };
const WAIT_MAX_MS = 60_000;

/** A worker, its stream, and what it did. */
export class Rig implements AsyncDisposable {
  readonly stream: MemoryStream;
  readonly store: MemoryLeaseStore = new MemoryLeaseStore();
  readonly events: AppEvent[] = [];
  readonly strays: unknown[] = [];
  /** How many threads were given up. */
  leftBehind = 0;
  readonly #path: string;
  readonly #setup: Setup;
  #loaded: LoadedProcessor | undefined;
  #app: ReactoKinesixApp | undefined;

  private constructor(setup: Setup) {
    this.#setup = setup;
    this.#path = Deno.makeTempFileSync({ prefix: "threads-", suffix: ".log" });
    this.stream = new MemoryStream({ shards: setup.shards ?? 1 });
    for (const [key, text] of setup.records ?? []) this.stream.put(key, text);
  }

  /** Starts the worker. */
  static async start(setup: Setup): Promise<Rig> {
    const rig = new Rig(setup);
    try {
      await rig.startApp();
      return rig;
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
  }

  get app(): ReactoKinesixApp {
    if (this.#app === undefined) throw new Error("the worker is not started");
    return this.#app;
  }

  /** Starts a worker; another one after {@linkcode Rig.stop}. */
  async startApp(): Promise<void> {
    this.#loaded = await this.#load(this.#setup.code);
    this.#app = await ReactoKinesixApp.createNew({
      appName: "Test",
      streamName: "orders",
      workerId: "A",
      processor: this.#loaded.source,
      config: this.#plan?.config ?? this.#config,
      ports: { store: this.store, source: this.stream },
      onEvent: (event) => this.events.push(event),
    });
  }

  /** Changes to another processor, as a watch for new versions does. */
  async change(code: string): Promise<void> {
    const old = this.#loaded;
    this.#loaded = await this.#load(code);
    await this.app.changeProcessor(this.#loaded.source);
    await old?.dispose();
  }

  get #config(): ReactoKinesixConfig {
    return { ...CONFIG, ...this.#setup.config };
  }

  get #plan(): ThreadPlan | undefined {
    const { threads, isSandboxed = false, flags = {}, hasProcesses } = this.#setup;
    const plan = planThreads({
      text: (flag) => flag === "threads" ? threads?.toString() : flags[flag],
      need: () => "",
      needNumber: () => 0,
      argument: () => undefined,
      isOn: (flag) => flag === "sandbox" && isSandboxed,
      config: this.#config,
    });
    return plan && { ...plan, ...hasProcesses && { hasProcesses } };
  }

  async #load(code: string): Promise<LoadedProcessor> {
    const whole = this.#prelude + code;
    const graph = this.#setup.isServed
      ? await fetchServed({ ...this.#setup.beside, "processor.js": whole })
      : await fetchGraph(`data:text/javascript,${encodeURIComponent(whole)}`);
    const plan = this.#plan;
    return plan === undefined ? await startProcessor(graph) : await startInThreads(graph, plan, {
      isConsoleOnStderr: false,
      loadTimeoutMs: 60_000,
      signal: new AbortController().signal,
      onStray: (error) => this.strays.push(error),
      onLeftBehind: () => this.leftBehind += 1,
    });
  }

  get #prelude(): string {
    // The modes are there without an import, so that no test waits for the whole package.
    const modes = ["Skip", "Stop"].map((kind) =>
      `const retryAnd${kind} = (retries) => ({ kind: "retryAnd${kind}", retries });\n`
    ).join("");
    const path = JSON.stringify(this.#path);
    const log = `(line) => Deno.writeTextFileSync(${path}, line + "\\n", { append: true })`;
    const logged = `() => Deno.readTextFileSync(${path}).split("\\n").length - 1`;
    return `${modes}const log = ${log};\nconst logged = ${logged};\n`;
  }

  /** The lines that the processor wrote. */
  lines(): readonly string[] {
    return Deno.readTextFileSync(this.#path).split("\n").filter((line) => line !== "");
  }

  told<T extends AppEventType>(type: T): readonly AppEventOf<T>[] {
    return this.events.filter((event): event is AppEventOf<T> => event.type === type);
  }

  /** How many records are finished. */
  processed(): number {
    return this.told("batch_processed").reduce((sum, { records }) => sum + records, 0);
  }

  /** Waits until something holds. */
  async until(claim: string, holds: () => boolean): Promise<void> {
    for (const end = Date.now() + WAIT_MAX_MS; !holds();) {
      if (Date.now() > end) {
        const last = this.events.slice(-10).map((event) => JSON.stringify(event)).join("\n");
        throw new Error(`not in time: ${claim}\n${last}\n${this.lines().slice(-10).join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Stops the worker and its threads. */
  async stop(): Promise<void> {
    await this.#app?.stop();
    await this.#loaded?.dispose();
    this.#app = undefined;
    this.#loaded = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.#path);
  }
}

async function fetchServed(modules: Readonly<Record<string, string>>): Promise<ModuleGraph> {
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(options, ({ url }) => {
    const name = new URL(url).pathname.slice(1);
    const type = name.endsWith(".json") ? "application/json" : "text/javascript";
    return new Response(modules[name] ?? "", { headers: { "content-type": type } });
  });
  return await fetchGraph(`http://127.0.0.1:${server.addr.port}/processor.js`);
}

/** Records of `keys` keys, in turns; the text says the number of the record among those of its key. */
export function inTurns(keys: number, each: number): readonly (readonly [string, string])[] {
  return Array.from({ length: keys * each }, (_, i) => {
    const key = `key ${i % keys}`;
    return [key, `${key}: ${Math.floor(i / keys)}`] as const;
  });
}

/** The numbers of the records of each key, in the order in which they came. */
export function byKey(lines: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const seen = new Map<string, number[]>();
  for (const line of lines) {
    const [key = "", number] = line.split(": ");
    seen.set(key, [...seen.get(key) ?? [], Number(number)]);
  }
  return seen;
}
