/**
 * Owns: what `kinesix status --watch` shows on a terminal: the worst first, as much as fits; what changed between two looks.
 * Must not: look, or write to the terminal.
 * Called by: `status_watch.ts`.
 *
 * @module
 */

import type { Ansis } from "ansis";
import type { ClusterStatus, ShardState, ShardStatus, WorkerStatus } from "../core/status.ts";
import { count } from "./event_text.ts";
import { printable } from "./terminal.ts";
import { ago, shortShard, spanText } from "./words.ts";

/** What the shards are sorted by. */
export type ShardOrder = "worst" | "behind" | "shard" | "owner" | "moved";

const ORDERS: readonly ShardOrder[] = ["worst", "behind", "moved", "owner", "shard"];

/** The order after another one. */
export function nextOrder(order: ShardOrder): ShardOrder {
  return ORDERS[(ORDERS.indexOf(order) + 1) % ORDERS.length] ?? "worst";
}

/** What is known of a shard from more than one look. */
interface Track {
  /** Checkpoints as they were seen, the oldest first: when each was written, and from when the last record before it is. */
  readonly marks: { readonly writtenAt: number; readonly reached: number }[];
  owner: string | null;
  /** Whose it was before it moved while it was watched. */
  from: string | null;
  movedAt: number | null;
}

/** The pace is measured over so long. */
const PACE_WINDOW_MS = 30_000;
/** A pace that was measured so long ago says nothing any more. */
const STALE_MS = 60_000;
/** For so long a shard that moved is shown as such. */
const MOVED_MS = 15_000;

/** The last look, and what came of those before it. */
export class Looks {
  readonly #tracks = new Map<string, Track>();
  #last: ClusterStatus = { workers: [], shards: [] };
  #at = 0;

  /** Takes a look into account that was made at that time, in milliseconds since the epoch. */
  add(status: ClusterStatus, at: number): void {
    this.#last = status;
    this.#at = at;
    const known = new Set(status.shards.map(({ shardId }) => shardId));
    for (const id of this.#tracks.keys()) if (!known.has(id)) this.#tracks.delete(id);
    for (const shard of status.shards) this.#follow(shard, at);
  }

  /** The last look. */
  get last(): ClusterStatus {
    return this.#last;
  }

  /** When that was. */
  get at(): number {
    return this.#at;
  }

  /** How much time of the stream a shard gets through in a second; undefined while that is not known. */
  pace(shardId: string): number | undefined {
    const marks = this.#tracks.get(shardId)?.marks ?? [];
    const [first, last] = [marks[0], marks.at(-1)];
    if (first === undefined || last === undefined || first === last) return undefined;
    if (this.#at - last.writtenAt > STALE_MS) return undefined;
    return Math.max(0, (last.reached - first.reached) / (last.writtenAt - first.writtenAt));
  }

  /** From whom a shard came that moved a moment ago; undefined if it did not. Null: nobody had it. */
  movedFrom(shardId: string): string | null | undefined {
    const track = this.#tracks.get(shardId);
    if (track === undefined || track.movedAt === null) return undefined;
    return this.#at - track.movedAt < MOVED_MS ? track.from : undefined;
  }

  #follow(
    { shardId, owner, checkpointAt, millisBehindLatest }: ShardStatus,
    at: number,
  ): void {
    const track = this.#tracks.get(shardId) ??
      { marks: [], owner, from: null, movedAt: null };
    this.#tracks.set(shardId, track);
    if (track.owner !== owner) {
      track.from = track.owner;
      track.movedAt = at;
    }
    track.owner = owner;
    if (checkpointAt === null || millisBehindLatest === null) return;
    const writtenAt = Date.parse(checkpointAt);
    if (writtenAt <= (track.marks.at(-1)?.writtenAt ?? 0)) return;
    track.marks.push({ writtenAt, reached: writtenAt - millisBehindLatest });
    while (
      track.marks.length > 2 && (track.marks[1]?.writtenAt ?? 0) < writtenAt - PACE_WINDOW_MS
    ) {
      track.marks.shift();
    }
  }
}

/** What the lines are made for. */
export interface ScreenOptions {
  readonly columns: number;
  readonly rows: number;
  readonly appName: string;
  readonly streamName: string;
  readonly order: ShardOrder;
  readonly paint: Ansis;
  /** Why the last look failed; undefined if it did not. */
  readonly problem: string | undefined;
}

/** The lines of the screen: no more than there are rows, none longer than there are columns. */
export function screenLines(looks: Looks, options: ScreenOptions): readonly string[] {
  const { rows, paint, problem, columns } = options;
  const { workers, shards } = looks.last;
  const head = headLines(looks, options);
  // The shards are what one watches for; the workers get a third of the window at most.
  const workersMax = Math.max(1, Math.floor((rows - head.length - 4) / 3));
  const sorted = [...workers].sort((a, b) => Number(a.alive) - Number(b.alive));
  const shownWorkers = sorted.slice(0, workersMax);
  const workerTable = table(
    WORKER_COLUMNS.map(({ title }) => title),
    shownWorkers.map((worker) => WORKER_COLUMNS.map((column) => column.cell(worker, options))),
    options,
  );
  const used = head.length + workerTable.length + 3;
  const shardsMax = Math.max(1, rows - used - 1);
  const shownShards = sortShards(shards, looks, options.order).slice(0, shardsMax);
  const shardTable = table(
    SHARD_COLUMNS.map(({ title }) => title),
    shownShards.map((shard) => SHARD_COLUMNS.map((column) => column.cell(shard, looks, options))),
    options,
  );
  const foot = problem === undefined
    ? paint.dim(cut(footText(shards.length - shownShards.length, options.order), columns))
    : paint.red(cut(printable(`Cannot look: ${problem}`).replaceAll("\n", " "), columns));
  const hidden = workers.length - shownWorkers.length;
  const more = hidden === 0 ? "" : paint.dim(`and ${count(hidden, "more worker")}`);
  return [...head, ...workerTable, more, ...shardTable, foot].slice(0, rows);
}

function headLines(looks: Looks, { appName, streamName, columns, paint }: ScreenOptions): string[] {
  const { workers, shards } = looks.last;
  const alive = workers.filter((worker) => worker.alive).length;
  const states = Map.groupBy(shards, ({ state }) => state);
  const parts = (Object.keys(RANKS) as ShardState[])
    .flatMap((state) => states.has(state) ? [`${states.get(state)?.length} ${WORDS[state]}`] : []);
  const behind = shards.filter(({ state }) => state !== "closed")
    .map(({ millisBehindLatest }) => millisBehindLatest ?? 0);
  const worst = behind.reduce((most, ms) => Math.max(most, ms), 0);
  const time = new Date(looks.at).toTimeString().slice(0, 8);
  const names = `${appName} on stream ${streamName}`;
  const rest = `  ${alive} of ${count(workers.length, "worker")} alive, ` +
    `${count(shards.length, "shard")}, at most ${spanText(worst)} behind  ${time}`;
  return [
    paint.bold(cut(names, columns)) + cut(rest, Math.max(0, columns - names.length)),
    cut(parts.join(", "), columns),
    "",
  ];
}

function footText(hidden: number, order: ShardOrder): string {
  const keys = `q quits  s sorts (by ${order})`;
  return hidden === 0 ? keys : `${count(hidden, "more shard")} not shown  ${keys}`;
}

/** A piece of a line; its colour comes after it was cut, so that none is left open. */
interface Cell {
  readonly text: string;
  readonly color?: (text: string) => string;
}

const WORKER_COLUMNS: readonly {
  readonly title: string;
  cell(worker: WorkerStatus, options: ScreenOptions): Cell;
}[] = [
  { title: "WORKER", cell: ({ workerId }) => ({ text: workerId }) },
  {
    title: "ALIVE",
    cell: ({ alive }, { paint }) =>
      alive ? { text: "yes", color: paint.green } : { text: "no", color: paint.red },
  },
  { title: "SHARDS", cell: ({ shards }) => ({ text: String(shards) }) },
  { title: "HEARTBEAT", cell: ({ lastHeartbeatAt }) => ({ text: ago(lastHeartbeatAt) }) },
  { title: "VERSION", cell: ({ version }) => ({ text: version }) },
];

const SHARD_COLUMNS: readonly {
  readonly title: string;
  cell(shard: ShardStatus, looks: Looks, options: ScreenOptions): Cell;
}[] = [
  { title: "SHARD", cell: ({ shardId }) => ({ text: shortShard(shardId) }) },
  { title: "STATE", cell: ({ state }, _looks, { paint }) => stateCell(state, paint) },
  {
    title: "BEHIND",
    cell: ({ millisBehindLatest }) => ({
      text: millisBehindLatest === null ? "-" : spanText(millisBehindLatest),
    }),
  },
  { title: "PACE", cell: ({ shardId }, looks) => ({ text: paceText(looks.pace(shardId)) }) },
  { title: "CAUGHT UP", cell: (shard, looks) => ({ text: catchUpText(shard, looks) }) },
  {
    title: "CHECKPOINT",
    cell: ({ checkpointAt }) => ({ text: checkpointAt === null ? "-" : ago(checkpointAt) }),
  },
  { title: "TERM", cell: ({ term }) => ({ text: String(term) }) },
  { title: "OWNER", cell: (shard, looks, { paint }) => ownerCell(shard, looks, paint) },
];

const WORDS: { readonly [S in ShardState]: string } = {
  unowned: "without owner",
  stopped: "stopped",
  handingOver: "handing over",
  processing: "processing",
  waitingForParents: "waiting for parents",
  closed: "closed",
};

/** What needs a look first. */
const RANKS: { readonly [S in ShardState]: number } = {
  unowned: 0,
  stopped: 1,
  handingOver: 2,
  processing: 2,
  waitingForParents: 3,
  closed: 4,
};

function stateCell(state: ShardState, paint: Ansis): Cell {
  const colors: { readonly [S in ShardState]: (text: string) => string } = {
    processing: paint.green,
    handingOver: paint.cyan,
    unowned: paint.yellow,
    stopped: paint.red,
    waitingForParents: paint.blue,
    closed: paint.gray,
  };
  return { text: WORDS[state], color: colors[state] };
}

/** `1x` keeps up with the stream; more comes nearer to its tip. */
function paceText(pace: number | undefined): string {
  if (pace === undefined) return "-";
  return `${pace < 9.95 ? pace.toFixed(1) : Math.round(pace)}x`;
}

function catchUpText({ shardId, millisBehindLatest, state }: ShardStatus, looks: Looks): string {
  const pace = looks.pace(shardId);
  if (state === "closed" || millisBehindLatest === null) return "-";
  if (millisBehindLatest < 1_000) return "yes";
  if (pace === undefined) return "-";
  return pace > 1.05 ? `in ${spanText(millisBehindLatest / (pace - 1))}` : "never";
}

function ownerCell({ shardId, owner, handoverTo }: ShardStatus, looks: Looks, paint: Ansis): Cell {
  const from = looks.movedFrom(shardId);
  const now = owner ?? "-";
  if (handoverTo !== null && handoverTo !== owner) {
    return { text: `${now} → ${handoverTo}`, color: paint.cyan };
  }
  if (from === undefined) return { text: now };
  return { text: `${now} ← ${from ?? "nobody"}`, color: paint.cyan };
}

function sortShards(
  shards: readonly ShardStatus[],
  looks: Looks,
  order: ShardOrder,
): readonly ShardStatus[] {
  const behind = ({ millisBehindLatest }: ShardStatus): number => millisBehindLatest ?? -1;
  const isStill = ({ shardId, handoverTo }: ShardStatus): number =>
    looks.movedFrom(shardId) === undefined && handoverTo === null ? 1 : 0;
  const compare: { readonly [O in ShardOrder]: (a: ShardStatus, b: ShardStatus) => number } = {
    worst: (a, b) => RANKS[a.state] - RANKS[b.state] || behind(b) - behind(a),
    behind: (a, b) => behind(b) - behind(a),
    moved: (a, b) => isStill(a) - isStill(b) || RANKS[a.state] - RANKS[b.state],
    owner: (a, b) => (a.owner ?? "").localeCompare(b.owner ?? ""),
    shard: () => 0,
  };
  // They come sorted by shard, and the sort leaves those alone that are alike.
  return [...shards].sort(compare[order]);
}

/** A table without a frame: what does not fit is cut off at the right. */
function table(
  titles: readonly string[],
  rows: readonly (readonly Cell[])[],
  { columns, paint }: ScreenOptions,
): readonly string[] {
  const plain = rows.map((row) =>
    row.map(({ text, color }) => ({ text: printable(text).replaceAll("\n", " "), color }))
  );
  const widths = titles.map((title, i) =>
    Math.max(title.length, ...plain.map((row) => lengthOf(row[i]?.text ?? "")))
  );
  const line = (cells: readonly { text: string; color: Cell["color"] }[]): string => {
    let left = columns;
    return cells.map(({ text, color }, i) => {
      const padded = text + " ".repeat(Math.max(0, (widths[i] ?? 0) - lengthOf(text)) + 2);
      const shown = cut(padded, left);
      left -= lengthOf(shown);
      return color === undefined || shown === "" ? shown : color(shown);
    }).join("");
  };
  return [
    line(titles.map((title) => ({ text: title, color: paint.bold }))),
    ...plain.map(line),
  ];
}

function lengthOf(text: string): number {
  return [...text].length;
}

function cut(text: string, length: number): string {
  return lengthOf(text) <= length ? text : [...text].slice(0, Math.max(0, length)).join("");
}
