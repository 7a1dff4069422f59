/**
 * Owns: the last events of a simulation, as lines that a person can read.
 * Must not: keep more of them than are shown.
 * Called by: `simulation.ts` writes, `run.ts` prints.
 *
 * @module
 */

/** Something that happened. */
export interface JournalLine {
  readonly at: number;
  readonly process: string;
  readonly shardId: string;
  /** Is asked only when the line is shown: most lines never are. */
  readonly what: () => string;
}

/** The last lines. */
export class Journal {
  readonly #lines: JournalLine[] = [];
  readonly #keep: number;
  #watcher: ((line: string) => void) | undefined;
  #next = 0;

  /** @param keep How many lines are kept. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Has somebody told every line from now on, which makes all of this slow. */
  watch(watcher: (line: string) => void): void {
    this.#watcher = watcher;
  }

  add(line: JournalLine): void {
    this.#lines[this.#next % this.#keep] = line;
    this.#next += 1;
    this.#watcher?.(format(line));
  }

  /** The lines as a table, oldest first. */
  format(): string {
    const from = Math.max(0, this.#next - this.#keep);
    const lines = [`${"time".padStart(11)}  ${"process".padEnd(9)} ${"shard".padEnd(6)} what`];
    for (let i = from; i < this.#next; i++) {
      const line = this.#lines[i % this.#keep];
      if (line !== undefined) lines.push(format(line));
    }
    return lines.join("\n");
  }
}

function format({ at, process, shardId, what }: JournalLine): string {
  return `${(at / 1_000).toFixed(3).padStart(10)}s  ${process.padEnd(9)} ` +
    `${shardId.replace("shardId-", "#").padEnd(6)} ${what()}`;
}
