/**
 * Owns: the two charts: how far behind, and how much.
 * Must not: keep the history; the model does.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import uPlot from "uplot";
import { set } from "./dom.ts";
import { amount, behind, size, span } from "./format.ts";
import type { HistoryPoint, Model } from "./model.ts";

const HEIGHT = 150;

/** One line of a chart. */
interface Line {
  readonly color: string;
  readonly scale: string;
  readonly isFilled?: boolean;
  readonly value: (point: HistoryPoint) => number | null;
}

/** What a chart shows. */
interface Chart {
  readonly root: HTMLElement;
  readonly lines: readonly Line[];
  readonly scales: Readonly<Record<string, (value: number) => string>>;
  readonly words: (last: HistoryPoint | undefined) => string;
}

/** The charts of the page. */
export class Charts {
  readonly #model: Model;
  readonly #charts: readonly Chart[];
  #plots: uPlot[] = [];

  constructor(lagRoot: HTMLElement, rateRoot: HTMLElement, model: Model) {
    this.#model = model;
    this.#charts = [{
      root: lagRoot,
      lines: [
        { color: "--series-2", scale: "ms", value: (point) => point.clusterLag },
        { color: "--series-1", scale: "ms", isFilled: true, value: (point) => point.lag },
      ],
      scales: { ms: (value) => value === 0 ? "0" : span(value) },
      words: (last) =>
        `Lag over time. This worker: ${behind(last?.lag ?? null)}. Cluster: ${
          behind(last?.clusterLag ?? null)
        }`,
    }, {
      root: rateRoot,
      lines: [
        {
          color: "--series-1",
          scale: "records",
          isFilled: true,
          value: (point) => point.recordsPerSecond,
        },
        { color: "--series-3", scale: "bytes", value: (point) => point.bytesPerSecond },
      ],
      scales: { records: amount, bytes: size },
      words: (last) =>
        `Throughput of this worker over time. Now ${amount(last?.recordsPerSecond ?? 0)} records ` +
        `and ${size(last?.bytesPerSecond ?? 0)} a second`,
    }];
    const resized = new ResizeObserver(() => this.#fit());
    for (const { root } of this.#charts) resized.observe(root);
    this.draw();
  }

  /** Draws everything anew, in the colours of now. */
  draw(): void {
    for (const plot of this.#plots) plot.destroy();
    this.#plots = this.#charts.map((chart) =>
      new uPlot(options(chart), this.#data(chart), chart.root)
    );
    this.show();
  }

  /** Shows the points that are there now. */
  show(): void {
    const last = this.#model.history.at(-1);
    for (const [i, chart] of this.#charts.entries()) {
      this.#plots[i]?.setData(this.#data(chart));
      set(chart.root, "aria-label", chart.words(last));
    }
  }

  #data({ lines }: Chart): uPlot.AlignedData {
    const { history } = this.#model;
    const series = lines.map((line) => history.map(line.value));
    return [history.map(({ at }) => at / 1_000), ...series];
  }

  #fit(): void {
    for (const [i, { root }] of this.#charts.entries()) {
      const width = root.clientWidth;
      if (width > 0 && this.#plots[i]?.width !== width) {
        this.#plots[i]?.setSize({ width, height: HEIGHT });
      }
    }
  }
}

function options({ root, lines, scales }: Chart): uPlot.Options {
  const color = (name: string): string => colorOf(root, name);
  const axis = { stroke: color("--muted"), font: "11px system-ui", ticks: { show: false } };
  const grid = { stroke: color("--line"), width: 1 };
  return {
    width: Math.max(root.clientWidth, 200),
    height: HEIGHT,
    padding: [8, Object.keys(scales).length === 1 ? 26 : 4, 0, 0],
    cursor: { sync: { key: "time" }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: Object.fromEntries(
      Object.keys(scales).map((name) => [name, {
        range: (_plot: uPlot, _min: number, max: number) => fromZero(name, max),
      }]),
    ),
    axes: [
      { ...axis, grid: { show: false }, space: 70, size: 26, values: clockTimes },
      ...Object.entries(scales).map(([scale, format], i) => ({
        ...axis,
        scale,
        side: i === 0 ? 3 : 1,
        size: 56,
        space: 34,
        ...scale === "ms" && { incrs: TIME_STEPS },
        grid: i === 0 ? grid : { show: false },
        values: (_plot: uPlot, values: number[]) => values.map(format),
      })),
    ],
    series: [
      {},
      ...lines.map((line) => ({
        scale: line.scale,
        stroke: color(line.color),
        width: 1.75,
        points: { show: false },
        ...line.isFilled &&
          { fill: color(line.color).replace("rgb(", "rgba(").replace(")", ", 0.13)") },
      })),
    ],
    hooks: { setCursor: [showValues(lines, scales)] },
  };
}

/** A colour of the page as a canvas takes it: one that depends on the scheme is known only where it is used. */
function colorOf(root: HTMLElement, name: string): string {
  root.style.color = `var(${name})`;
  const { color } = getComputedStyle(root);
  root.style.color = "";
  return color;
}

/** The values under the pointer, in the corner: no legend that takes room while nobody points. */
function showValues(lines: readonly Line[], scales: Chart["scales"]): (plot: uPlot) => void {
  return (plot) => {
    const at = plot.cursor.idx;
    const texts = at === null || at === undefined ? [] : lines.flatMap((line, i) => {
      const value = plot.data[i + 1]?.[at];
      return value === null || value === undefined ? [] : [scales[line.scale]?.(value) ?? ""];
    });
    const time = plot.data[0]?.[at ?? 0];
    const text = texts.length === 0 || time === undefined
      ? ""
      : [new Date(time * 1_000).toTimeString().slice(0, 8), ...texts.reverse()].join("  ·  ");
    const parent = plot.root.parentElement;
    if (parent !== null) set(parent, "data-value", text === "" ? null : text);
  };
}

/** What people divide time into, in milliseconds. */
const TIME_STEPS: number[] = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600]
  .concat([12, 24, 48, 120, 240].map((hours) => hours * 3_600)).map((seconds) => seconds * 1_000);

/** The least that fills a chart: a lag of milliseconds must not look like a mountain. */
const LEAST: Readonly<Record<string, number>> = { ms: 5_000, records: 10, bytes: 1_000 };

function fromZero(scale: string, max: number): [number, number] {
  return [0, Math.max(max * 1.15, LEAST[scale] ?? 1)];
}

function clockTimes(_plot: uPlot, times: number[]): string[] {
  const isShort = (times.at(-1) ?? 0) - (times[0] ?? 0) < 120;
  return times.map((time) => new Date(time * 1_000).toTimeString().slice(0, isShort ? 8 : 5));
}
