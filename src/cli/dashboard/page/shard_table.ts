/**
 * Owns: the table of shards. Only the rows that can be seen are in the page.
 * Must not: keep the shards; the model does.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import type { ShardView } from "../protocol.ts";
import { make, set } from "./dom.ts";
import { ago, amount, behind, count, lagStep, STATES } from "./format.ts";
import type { Model, Search } from "./model.ts";

const ROW_HEIGHT = 34;
/** Rows beyond the edges, so that a quick scroll does not show an empty table. */
const MARGIN_ROWS = 6;
const VISIBLE_ROWS_MAX = 12;

interface Column {
  readonly name: string;
  readonly kind: string;
  readonly text: (shard: ShardView, model: Model) => string;
  /** What it is sorted by. */
  readonly key: (shard: ShardView, model: Model) => string | number;
}

/** What needs a person comes first. */
const STATE_ORDER = [
  "stopped",
  "unowned",
  "handingOver",
  "processing",
  "waitingForParents",
  "closed",
];

const COLUMNS: readonly Column[] = [
  { name: "Shard", kind: "id", text: ({ id }) => id, key: ({ id }) => id },
  {
    name: "State",
    kind: "state",
    text: ({ state }) => STATES[state][0],
    key: ({ state }) => STATE_ORDER.indexOf(state),
  },
  {
    name: "Worker",
    kind: "owner",
    text: ({ owner, to }) =>
      to !== null && to !== owner ? `${owner ?? "nobody"} → ${to}` : owner ?? "–",
    key: ({ owner }) => owner ?? "",
  },
  {
    name: "Behind",
    kind: "lag",
    text: ({ lag, state }) => state === "closed" ? "–" : behind(lag).replace(" behind", ""),
    key: ({ lag, state }) => state === "closed" ? -2 : lag ?? -1,
  },
  {
    name: "Records/s",
    kind: "rate",
    text: (shard, model) => {
      const rate = model.rate(shard);
      return rate === null ? "" : amount(rate);
    },
    key: (shard, model) => model.rate(shard) ?? -1,
  },
  {
    name: "Checkpoint",
    kind: "at",
    text: ({ checkpointAt }, model) =>
      checkpointAt === null ? "none yet" : ago(checkpointAt, model.now()),
    key: ({ checkpointAt }) => checkpointAt ?? 0,
  },
  { name: "Term", kind: "term", text: ({ term }) => String(term), key: ({ term }) => term },
];

interface Row {
  readonly root: HTMLElement;
  readonly cells: readonly HTMLElement[];
  id: string;
}

/** The table of shards. */
export class ShardTable {
  readonly #model: Model;
  readonly #note: HTMLElement;
  readonly #onOpen: (shardId: string) => void;
  readonly #grid: HTMLElement;
  readonly #body: HTMLElement;
  readonly #scroller: HTMLElement;
  readonly #heads: readonly HTMLElement[];
  readonly #rows: Row[] = [];
  #shards: ShardView[] = [];
  #search: Search;
  #sort: { column: Column; isDown: boolean };
  #isDue = false;

  constructor(
    root: HTMLElement,
    note: HTMLElement,
    model: Model,
    search: Search,
    onOpen: (shardId: string) => void,
  ) {
    this.#model = model;
    this.#note = note;
    this.#search = search;
    this.#onOpen = onOpen;
    const [first = COLUMNS[0]] = COLUMNS;
    this.#sort = { column: first as Column, isDown: false };
    this.#heads = COLUMNS.map((column) =>
      make(
        "div",
        { role: "columnheader", class: `cell ${column.kind}` },
        make("button", { type: "button", text: column.name, onclick: () => this.#sortBy(column) }),
      )
    );
    this.#body = make("div", { class: "rows", role: "presentation" });
    this.#scroller = make(
      "div",
      {
        class: "scroller",
        role: "rowgroup",
        tabindex: 0,
        onscroll: () => this.#draw(),
        onkeydown: (event) => this.#move(event),
      },
      this.#body,
    );
    const head = make(
      "div",
      { role: "rowgroup" },
      make("div", { role: "row", class: "row head", "aria-rowindex": 1 }, ...this.#heads),
    );
    this.#grid = make(
      "div",
      { role: "table", "aria-label": "Shards", class: "grid" },
      head,
      this.#scroller,
    );
    root.append(this.#grid);
    new ResizeObserver(() => this.#draw()).observe(this.#scroller);
  }

  /** Shows what a search means. */
  find(search: Search): void {
    this.#search = search;
    this.#scroller.scrollTop = 0;
    this.show();
  }

  /** Shows the shards as they are now, with the next frame. */
  show(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#arrange();
      this.#draw();
    });
  }

  #sortBy(column: Column): void {
    const isSame = this.#sort.column === column;
    // Numbers are looked at from the top.
    this.#sort = {
      column,
      isDown: isSame ? !this.#sort.isDown : ["lag", "rate", "term", "at"].includes(column.kind),
    };
    this.show();
  }

  #arrange(): void {
    const { column, isDown } = this.#sort;
    const sign = isDown ? -1 : 1;
    const keyed = [...this.#model.shards.values()].filter((shard) => this.#search.meansShard(shard))
      .map((shard) => ({ shard, key: column.key(shard, this.#model) }));
    keyed.sort((a, b) =>
      (a.key < b.key ? -sign : a.key > b.key ? sign : 0) || (a.shard.id < b.shard.id ? -1 : 1)
    );
    this.#shards = keyed.map(({ shard }) => shard);
    for (const [i, head] of this.#heads.entries()) {
      const direction = isDown ? "descending" : "ascending";
      set(head, "aria-sort", COLUMNS[i] === column ? direction : null);
    }
    const all = this.#model.shards.size;
    const found = this.#shards.length;
    set(
      this.#note,
      "text",
      found === all ? `${count(all)} in all` : `${count(found)} of ${count(all)}`,
    );
    set(this.#grid, "aria-rowcount", found + 1);
    const visible = Math.max(1, Math.min(found, VISIBLE_ROWS_MAX));
    // Sizes are set by script, which the policy of the page allows; a style in the page it would not.
    this.#scroller.style.height = `${visible * ROW_HEIGHT}px`;
    this.#body.style.height = `${found * ROW_HEIGHT}px`;
  }

  #draw(): void {
    const { scrollTop, clientHeight } = this.#scroller;
    const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - MARGIN_ROWS);
    const amount = Math.ceil(clientHeight / ROW_HEIGHT) + 2 * MARGIN_ROWS;
    const seen = this.#shards.slice(first, first + amount);
    while (this.#rows.length < seen.length) this.#rows.push(this.#makeRow());
    for (const row of this.#rows.splice(seen.length)) row.root.remove();
    for (const [i, shard] of seen.entries()) {
      const row = this.#rows[i];
      if (row !== undefined) this.#fill(row, shard, first + i);
    }
  }

  #makeRow(): Row {
    const cells = COLUMNS.map(({ kind }) => make("div", { role: "cell", class: `cell ${kind}` }));
    const row: Row = { root: make("div", { role: "row", class: "row" }, ...cells), cells, id: "" };
    const open = make("button", {
      type: "button",
      class: "link",
      onclick: () => this.#onOpen(row.id),
    });
    cells[0]?.append(open);
    row.root.addEventListener("click", (event) => event.target !== open && this.#onOpen(row.id));
    this.#body.append(row.root);
    return row;
  }

  #fill(row: Row, shard: ShardView, index: number): void {
    row.id = shard.id;
    set(row.root, "aria-rowindex", index + 2);
    set(row.root, "data-state", shard.state);
    set(row.root, "data-lag", shard.state === "closed" ? null : lagStep(shard.lag));
    row.root.style.transform = `translateY(${index * ROW_HEIGHT}px)`;
    for (const [i, column] of COLUMNS.entries()) {
      const cell = row.cells[i];
      const target = column.kind === "id" ? cell?.firstElementChild : cell;
      if (target instanceof HTMLElement) set(target, "text", column.text(shard, this.#model));
    }
  }

  /** The arrows lead from row to row, and scroll along. */
  #move(event: Event): void {
    if (!(event instanceof KeyboardEvent) || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    const isDown = event.key === "ArrowDown";
    const at = this.#rows.findIndex(({ root }) => root.contains(document.activeElement));
    if (at < 0) return;
    event.preventDefault();
    const { id } = this.#rows[at] ?? {};
    const next =
      this.#shards[this.#shards.findIndex((shard) => shard.id === id) + (isDown ? 1 : -1)];
    if (next === undefined) return;
    this.#scroller.scrollTop += isDown ? ROW_HEIGHT : -ROW_HEIGHT;
    this.#draw();
    this.#rows.find((row) => row.id === next.id)?.root.querySelector("button")?.focus({
      preventScroll: true,
    });
  }
}
