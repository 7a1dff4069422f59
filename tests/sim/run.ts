// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: the simulator as a program: what it prints, and how it exits.
 * Must not: be needed by the tests of the project itself; those run `hunt.ts`.
 * Called by: people, as `deno task sim`; `--help` tells the flags.
 *
 * It exits with 0 when every promise held, 1 when one did not, 2 for wrong arguments, 130 after Ctrl-C.
 *
 * @module
 */

import { openProgress, type ProgressBoard } from "../../src/cli/progress.ts";
import { listenForStop } from "../../src/cli/stop_signals.ts";
import { systemTerminal, type Terminal } from "../../src/cli/terminal.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { help, readWish, replayCommand, type Wish } from "./arguments.ts";
import { type Figures, hunt, NOTHING } from "./hunt.ts";
import { Jobs } from "./jobs.ts";
import { applyOverride, type ScenarioOverride } from "./override.ts";
import { makeScenario, type Scenario } from "./scenario.ts";
import {
  describeScenario,
  type Failed,
  shrink,
  type ShrinkOptions,
  type Shrunk,
} from "./shrink.ts";
import type { SimulationOptions, SimulationResult } from "./simulation.ts";

const SHRINK_TRIES_MAX = 400;
const FAILURE_LETTERS_MAX = 300;

/** A run of the program. */
class Run {
  readonly #wish: Wish;
  readonly #terminal: Terminal;
  readonly #jobs: Jobs;
  readonly #simulation: SimulationOptions;
  readonly #startedAt = performance.now();
  #figures: Figures = NOTHING;

  constructor(wish: Wish, terminal: Terminal, jobs: Jobs) {
    this.#wish = wish;
    this.#terminal = terminal;
    this.#jobs = jobs;
    const { override, lines, untilMs, find } = wish;
    this.#simulation = {
      override,
      journalLines: lines,
      ...(untilMs === undefined ? {} : { untilMs }),
      ...(find === undefined ? {} : { find }),
    };
  }

  /** Runs the seeds, and shrinks the first one that fails. Returns the exit code. */
  async all(signal: AbortSignal): Promise<number> {
    const { isAll, isToShrink } = this.#wish;
    const failed = await this.#hunt(signal);
    const summary = this.#summary();
    if (failed !== undefined && !isAll) {
      this.#tell(failed);
      if (isToShrink) await this.#shrink(failed, signal);
    }
    console.log(summary);
    if (signal.aborted) return signal.reason === "SIGTERM" ? 143 : 130;
    return failed === undefined ? 0 : 1;
  }

  async #hunt(signal: AbortSignal): Promise<SimulationResult | undefined> {
    const { isAll, isVerbose } = this.#wish;
    // Lines that come meanwhile would be written over the bar.
    const isHidden = this.#terminal.isStdoutInteractive && (isAll || isVerbose);
    using board = await openProgress(this.#terminal, { isHidden });
    const progress = this.#bar(board);
    const { failures } = await hunt(this.#jobs, {
      seeds: this.#seeds(),
      simulation: this.#simulation,
      isAll,
      signal,
      onResult: (result, figures) => {
        this.#figures = figures;
        progress();
        this.#tellBriefly(result);
      },
    });
    return failures[0];
  }

  *#seeds(): Generator<number> {
    const { first, seeds, forMs } = this.#wish;
    for (let seed = first; seed < first + seeds; seed++) {
      if (performance.now() - this.#startedAt >= forMs) return;
      yield seed;
    }
  }

  /** Shows how far it is: seeds of all seeds, or seconds of the time that was given. */
  #bar(board: ProgressBoard): () => void {
    const { seeds, forMs } = this.#wish;
    const isTimed = forMs < Infinity;
    const bar = board.add(
      isTimed ? "seconds" : "seeds",
      isTimed ? Math.ceil(forMs / 1_000) : seeds,
    );
    return () => {
      const { seeds, events, virtualMs } = this.#figures;
      const seconds = this.#seconds();
      bar.update(
        isTimed ? Math.min(Math.ceil(forMs / 1_000), Math.floor(seconds)) : seeds,
        `${isTimed ? `${seeds} seeds, ` : ""}${Math.round(events / seconds / 1_000)} k events/s, ` +
          `${(virtualMs / 3_600_000 / seconds).toFixed(1)} virtual hours/s`,
      );
    };
  }

  #tellBriefly({ seed, failure, journal, traceHash, events }: SimulationResult): void {
    const { isAll, isVerbose, untilMs, override } = this.#wish;
    if (isVerbose) {
      const { seed: _same, ...scenario } = scenarioOf(seed, override);
      console.log(`seed ${seed}  ${traceHash}  ${events} events  ${JSON.stringify(scenario)}`);
    }
    if (failure === null && untilMs !== undefined && !isAll) console.log(journal);
    if (failure !== null && isAll) {
      console.log(`seed ${seed}: ${failure.slice(0, FAILURE_LETTERS_MAX)}`);
    }
  }

  #tell({ seed, failure, journal, virtualMs }: SimulationResult): void {
    const { override, find } = this.#wish;
    console.log(
      `${journal}\n\nSeed ${seed} fails at ${Math.round(virtualMs)} ms: ${failure}\n` +
        `Replay: ${replayCommand(seed, override, find)} --lines 400\n`,
    );
  }

  async #shrink(
    { seed, checker, virtualMs }: SimulationResult,
    signal: AbortSignal,
  ): Promise<void> {
    if (checker === null) return;
    const { override: before, find, untilMs: haltAtMs = Infinity } = this.#wish;
    const { override, result, tries } = await this.#shrunk(
      { seed, checker, virtualMs, override: before },
      (override, untilMs) =>
        this.#jobs.simulate(seed, {
          ...this.#simulation,
          override,
          untilMs: Math.min(untilMs, haltAtMs),
        }),
      signal,
    );
    console.log(
      result === null
        ? `Nothing can be left out of it (${tries} tries).\n`
        : `The same checker fails, at ${Math.round(result.virtualMs)} ms, with no more than this ` +
          `(${tries} tries):\n  ${describeScenario(scenarioOf(seed, override))}\n  ` +
          `${result.failure}\nReplay: ${replayCommand(seed, override, find)} --lines 400\n`,
    );
  }

  async #shrunk(
    failed: Failed,
    simulate: ShrinkOptions["simulate"],
    signal: AbortSignal,
  ): Promise<Shrunk> {
    using board = await openProgress(this.#terminal, { isHidden: false });
    const bar = board.add("shrinking", SHRINK_TRIES_MAX);
    return await shrink(failed, {
      simulate,
      atOnce: this.#jobs.size,
      triesMax: SHRINK_TRIES_MAX,
      signal,
      onTry: (tries) => bar.update(tries),
    });
  }

  #summary(): string {
    const { seeds, failed, events, virtualMs, records, worstCrashMs, worstPartingMs } =
      this.#figures;
    const seconds = this.#seconds();
    return `${seeds} seeds, ${failed} failed in ${seconds.toFixed(1)} s; ` +
      `${(seeds / seconds).toFixed(1)} seeds/s, ${
        Math.round(events / seconds / 1_000)
      } k events/s, ` +
      `${(virtualMs / 3_600_000 / seconds).toFixed(2)} virtual hours/s; ${records} records; ` +
      `longest wait of a shard: after a crash ${Math.round(worstCrashMs)} ms, ` +
      `after a parting ${Math.round(worstPartingMs)} ms`;
  }

  #seconds(): number {
    return (performance.now() - this.#startedAt) / 1_000;
  }
}

function scenarioOf(seed: number, override: ScenarioOverride): Scenario {
  return applyOverride(makeScenario(seed), override);
}

async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  let wish: Wish;
  try {
    wish = await readWish(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    terminal.say(`${error.message}\nTry: deno task sim --help`);
    return 2;
  }
  if (wish.isHelp) {
    console.log(help());
    return 0;
  }
  using stop = listenForStop();
  const isToShrink = wish.isToShrink && !wish.isAll;
  using jobs = new Jobs(isToShrink ? wish.jobs : Math.min(wish.jobs, wish.seeds));
  return await new Run(wish, terminal, jobs).all(stop.signal);
}

if (import.meta.main) Deno.exit(await main(Deno.args, systemTerminal()));
