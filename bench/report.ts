/**
 * Owns: what a benchmark says: figures of several rounds, their medians, their bounds; as a table, as JSON, as what is missed.
 * Must not: measure.
 * Called by: the areas, which make figures; `run.ts`, which shows them.
 */

import Table from "cli-table3";

/** A value of each round, and what its median must be. */
export interface Figure {
  /** What the values are, such as `ms`; `x` for a ratio, nothing where the column says it. */
  readonly unit: string;
  readonly values: readonly number[];
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One line of a table: who or what was measured, and its figures by the name of their column. */
export interface Row {
  readonly name: string;
  readonly figures: Readonly<Record<string, Figure>>;
}

/** One table. */
export interface Section {
  readonly title: string;
  readonly rows: readonly Row[];
  /** What a reader must know to judge the figures. */
  readonly note?: string;
}

/** How an area is to measure. */
export interface BenchOptions {
  /** How many rounds the medians are of. */
  readonly rounds: number;
  /** How much work a round is: `tiny` proves that the benchmark runs, its figures mean nothing. */
  readonly scale: "full" | "quick" | "tiny";
  /** Tells whoever waits what is being measured. */
  readonly say: (line: string) => void;
}

/** A bound that was missed. */
export interface Miss {
  readonly where: string;
  readonly is: number;
  readonly bound: string;
}

/** The middle of the values; of an even number of them, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = NaN, high = NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low + high) / 2;
}

/** What one is of another, round by round: whatever slows the machine down slows both. */
export function ratio(
  ours: readonly number[],
  theirs: readonly number[],
  bound: Pick<Figure, "atLeast" | "atMost"> = {},
): Figure {
  return { unit: "x", values: ours.map((value, i) => value / (theirs[i] ?? NaN)), ...bound };
}

/** Measures each of several things once per round, in turn, so that none has a quieter machine than the others. */
export async function interleave<K extends string>(
  rounds: number,
  measures: Readonly<Record<K, () => Promise<number>>>,
): Promise<Record<K, number[]>> {
  const names = Object.keys(measures) as K[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<
    K,
    number[]
  >;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) values[name].push(await measures[name]());
  }
  return values;
}

/** The figures whose median breaks their bound; one that could not be measured breaks it too. */
export function missesOf(sections: readonly Section[]): readonly Miss[] {
  return sections.flatMap(({ title, rows }) =>
    rows.flatMap(({ name, figures }) =>
      Object.entries(figures).filter(([, figure]) => isMissed(figure)).map(([column, figure]) => ({
        where: `${title}: ${name}: ${column}`,
        is: median(figure.values),
        bound: `${boundOf(figure)} ${figure.unit}`.trim(),
      }))
    )
  );
}

/** The sections as tables for people: the median, and in brackets the least and the most of all rounds. */
export function toText(sections: readonly Section[]): string {
  return sections.map(({ title, rows, note }) => {
    const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
    const table = new Table({
      head: ["", ...columns],
      colAligns: ["left", ...columns.map(() => "right" as const)],
      style: { head: [], border: [], compact: true },
    });
    for (const { name, figures } of rows) {
      table.push([name, ...columns.map((column) => cell(figures[column]))]);
    }
    return `\n${title}\n${table.toString()}\n${note ? `${note}\n` : ""}`;
  }).join("");
}

/** The sections as data, with the median of each figure. */
export function toData(sections: readonly Section[]): unknown {
  return sections.map((section) => ({
    ...section,
    rows: section.rows.map(({ name, figures }) => ({
      name,
      figures: Object.fromEntries(
        Object.entries(figures).map(([column, figure]) => [column, {
          median: median(figure.values),
          min: Math.min(...figure.values),
          max: Math.max(...figure.values),
          ...figure,
          isMissed: isMissed(figure),
        }]),
      ),
    })),
  }));
}

function cell(figure: Figure | undefined): string {
  if (figure === undefined) return "";
  const { values, unit } = figure;
  const range = values.length < 2
    ? ""
    : ` (${short(Math.min(...values))} to ${short(Math.max(...values))})`;
  const bound = boundOf(figure);
  const verdict = isMissed(figure) ? "MISSED " : "";
  const is = values.length === 0 ? "not measured" : `${short(median(values))}${unit && ` ${unit}`}`;
  return `${is}${range}${bound && `, ${verdict}${bound}`}`;
}

function boundOf({ atLeast, atMost }: Figure): string {
  const bounds = [
    ...atLeast === undefined ? [] : [`>= ${short(atLeast)}`],
    ...atMost === undefined ? [] : [`<= ${short(atMost)}`],
  ];
  return bounds.join(", ");
}

function isMissed({ values, atLeast, atMost }: Figure): boolean {
  const middle = median(values);
  return (atLeast !== undefined && !(middle >= atLeast)) ||
    (atMost !== undefined && !(middle <= atMost));
}

/** Three digits that count, and no more: the rest is noise. */
function short(value: number): string {
  if (!Number.isFinite(value)) return "?";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}
