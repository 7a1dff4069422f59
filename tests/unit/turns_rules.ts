// Owns: what is known of the records of one turn, and whether one may be started.
// Must not: start it.
// Called by: turns_testing.ts.
import { type Checkpoint, compareCheckpoints } from "../../src/core/checkpoint.ts";
import type { KinesisRecord } from "../../src/processor.ts";
import { positionAfter } from "../../src/runtime/delivered_record.ts";
import type { Case, Known } from "./turns_cases.ts";

/** A record that is given to the processor. */
interface Start {
  readonly n: number;
  readonly record: KinesisRecord | undefined;
  readonly attempt: number;
  /** Those before it in its batch. */
  readonly together: readonly number[];
}

interface Around {
  readonly given: Case;
  readonly known: readonly Known[];
  /** What was finished in turns that ended as they should. */
  readonly sure: ReadonlySet<number>;
  /** Whether a thread died: what it finished, and did not tell, comes again. */
  readonly hasDied: boolean;
}

/** One turn. */
export class TurnNow {
  readonly finished: Set<number> = new Set();
  calls = 0;
  /** Whether nothing more may be started. */
  isOver = false;
  readonly #from: Checkpoint;
  readonly #attempts = new Map<number, number>();

  /** @param from Where it begins. */
  constructor(from: Checkpoint) {
    this.#from = from;
  }

  /** Notes an attempt; gives what is wrong with it. */
  start(start: Start, around: Around): readonly string[] {
    const { n, record, attempt } = start;
    const { given: { settings }, known, sure, hasDied } = around;
    const { concurrency, bisectBatchOnError, isManual, kind, place } = settings;
    const position = known[n]?.position;
    if (record === undefined || position === undefined) return [`there is no record ${n}`];
    const before = this.#attempts.get(n) ?? 0;
    this.#attempts.set(n, attempt);
    const isUnderWay = attempt > 1 || bisectBatchOnError || place !== "here";
    const maySame = hasDied || bisectBatchOnError && kind === "batch";
    const isExact = concurrency === 1 && !isManual && kind === "record" && !hasDied;
    const rules: readonly (readonly [holds: boolean, otherwise: string])[] = [
      [compareCheckpoints(positionAfter(record), position) === 0, "has another position"],
      [compareCheckpoints(position, this.#from) > 0, "is before the turn"],
      [!this.finished.has(n) || hasDied, "comes twice in a turn"],
      [!isFiltered(n, around), "is filtered"],
      [!this.isOver || isUnderWay, "is started after the end"],
      [!isExact || !sure.has(n), "is repeated without need"],
      [attempt === before + 1 || maySame && attempt === before, `is tried out of turn: ${attempt}`],
    ];
    const broken = rules.flatMap(([holds, otherwise]) => holds ? [] : [`record ${n} ${otherwise}`]);
    return before > 0 ? broken : [...broken, ...this.#overtaken(start, around)];
  }

  #overtaken({ n, together }: Start, around: Around): readonly string[] {
    const { given: { settings: { concurrency, orderBy } }, known } = around;
    return known.slice(0, n).flatMap(({ key, position }, m) => {
      const isOfKey = orderBy === "partitionKey" && key === known[n]?.key;
      const mustBeDone = (concurrency === 1 || isOfKey) &&
        compareCheckpoints(position, this.#from) > 0;
      const isDone = this.finished.has(m) || isFiltered(m, around) || together.includes(m);
      return mustBeDone && !isDone ? [`record ${n} overtakes ${m}`] : [];
    });
  }
}

function isFiltered(n: number, { given, known }: Around): boolean {
  return given.settings.hasFilter && known[n]?.isFiltered === true;
}
