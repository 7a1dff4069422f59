/**
 * Owns: the picture: each worker with its shards, and the shards that move from one to another.
 * Must not: know where the news come from.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import type { ShardView, WorkerView } from "../protocol.ts";
import { make, set } from "./dom.ts";
import {
  ago,
  amount,
  behind,
  compareNames,
  LAG_STEPS,
  lagStep,
  shortId,
  spokenShard,
  STATES,
} from "./format.ts";
import type { Model, Search } from "./model.ts";

/** Beyond that many at once nobody can follow them with the eye. */
const FLIGHTS_MAX = 150;
const FLIGHT_MS = 650;
/** From so many open shards on, tiles are small, and tiny. */
const SMALL_FROM = 33;
const TINY_FROM = 161;

/** Where shards are that no live worker has. */
const POOLS = {
  free: ["Without a worker", "free or stopped shards"],
  waiting: ["Waiting for their parents", "shards whose parents are not finished"],
  closed: ["Finished", "closed shards of which every record is finished"],
} as const;

interface Card {
  readonly root: HTMLElement;
  readonly note: HTMLElement;
  readonly count: HTMLElement;
  readonly tiles: HTMLElement;
}

interface Tile {
  readonly root: HTMLButtonElement;
  readonly lag: HTMLElement;
  readonly rate: HTMLElement;
  /** What is said and not written. */
  readonly rest: HTMLElement;
  place: string;
}

/** The workers and their shards. */
export class Picture {
  readonly #root: HTMLElement;
  readonly #model: Model;
  readonly #onOpen: (shardId: string) => void;
  readonly #cards = new Map<string, Card>();
  readonly #tiles = new Map<string, Tile>();
  /** The tile that the tab key leads to; the arrows lead on from there. */
  #current: string | null = null;
  #search: Search;
  #size: "large" | "small" | "tiny" = "large";

  constructor(
    root: HTMLElement,
    model: Model,
    search: Search,
    onOpen: (shardId: string) => void,
  ) {
    this.#root = root;
    this.#model = model;
    this.#search = search;
    this.#onOpen = onOpen;
    root.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Shows what changed. */
  show(changed: ReadonlySet<string> | "all"): void {
    const { shards } = this.#model;
    const isFirst = this.#tiles.size === 0;
    const isSameSize = this.#showCards();
    const all = changed === "all" || !isSameSize
      ? new Set([...shards.keys(), ...this.#tiles.keys()])
      : changed;
    const moved: { readonly shard: ShardView; readonly place: string }[] = [];
    for (const id of all) {
      const shard = shards.get(id);
      if (shard === undefined) this.#removeTile(id);
      else {
        const place = this.#placeOf(shard);
        if (this.#tiles.get(id)?.place !== place) moved.push({ shard, place });
        this.#showTile(shard);
      }
    }
    if (moved.length > 0) this.#moveTiles(moved, isFirst);
    this.#tidyCards();
  }

  /** Shows what a search means. */
  find(search: Search): void {
    this.#search = search;
    for (const [id, tile] of this.#tiles) this.#dim(id, tile);
  }

  /** Shows how long ago each worker was heard. */
  tick(): void {
    for (const [key, card] of this.#cards) {
      const worker = this.#model.workers.get(key.slice(WORKER.length));
      if (key.startsWith(WORKER) && worker !== undefined) {
        set(card.note, "text", this.#note(worker));
      }
    }
  }

  #note({ isAlive, beatAt, version }: WorkerView): string {
    const heard = ago(beatAt, this.#model.now());
    return isAlive ? `heartbeat ${heard} · v${version}` : `no heartbeat: the last was ${heard}`;
  }

  #placeOf({ owner, state }: ShardView): string {
    if (state === "closed") return "closed";
    if (owner !== null && this.#model.workers.has(owner)) return WORKER + owner;
    return state === "waitingForParents" ? "waiting" : "free";
  }

  /** @returns Whether the tiles are as large as before. */
  #showCards(): boolean {
    const { workers, facts } = this.#model;
    for (const worker of workers.values()) {
      const card = this.#card(WORKER + worker.id, worker.id);
      set(card.root, "data-alive", String(worker.isAlive));
      set(card.root, "data-own", worker.id === facts?.workerId);
      set(card.note, "text", this.#note(worker));
    }
    for (const key of this.#cards.keys()) {
      const id = key.slice(WORKER.length);
      if (key.startsWith(WORKER) && !workers.has(id)) {
        this.#cards.get(key)?.root.setAttribute("data-gone", "");
      }
    }
    const open = [...this.#model.shards.values()].filter(({ state }) => state !== "closed").length;
    const size = open < SMALL_FROM ? "large" : open < TINY_FROM ? "small" : "tiny";
    const isSame = size === this.#size;
    this.#size = size;
    set(this.#root, "data-size", size);
    return isSame;
  }

  /** The card of a key, made when it is not there yet; workers in the order of their names, then the pools. */
  #card(key: string, title: string): Card {
    const known = this.#cards.get(key);
    if (known !== undefined) return known;
    const note = make("p", { class: "note" });
    const count = make("p", { class: "count" });
    const tiles = make("div", { class: "tiles", role: "group", "aria-label": `Shards: ${title}` });
    const root = make(
      "article",
      { class: "card", "data-key": key, "aria-label": title },
      make(
        "header",
        {},
        make("h3", { title }, make("i"), make("span", { text: title })),
        count,
        note,
      ),
      tiles,
    );
    const card = { root, note, count, tiles };
    const after = [...this.#cards].filter(([other]) => compareKeys(other, key) > 0)
      .sort(([a], [b]) => compareKeys(a, b))[0];
    this.#root.insertBefore(root, after?.[1].root ?? null);
    this.#cards.set(key, card);
    return card;
  }

  #showTile(shard: ShardView): void {
    let tile = this.#tiles.get(shard.id);
    if (tile === undefined) {
      const lag = make("span", { class: "lag" });
      const rate = make("span", { class: "rate" });
      const rest = make("span", { class: "unseen" });
      const root = make(
        "button",
        {
          type: "button",
          class: "tile",
          "data-shard": shard.id,
          tabindex: -1,
          onclick: () => this.#onOpen(shard.id),
          onfocus: () => this.#setCurrent(shard.id),
        },
        make("span", { class: "unseen", text: "Shard " }),
        make("b", { text: shortId(shard.id) }),
        lag,
        rate,
        rest,
      );
      tile = { root, lag, rate, rest, place: "" };
      this.#tiles.set(shard.id, tile);
      if (this.#current === null) this.#setCurrent(shard.id);
    }
    const rate = this.#model.rate(shard);
    const isOpen = shard.state !== "closed";
    set(tile.root, "data-state", shard.state);
    set(tile.root, "data-lag", isOpen ? lagStep(shard.lag) : null);
    set(tile.root, "data-busy", rate !== null && rate > 0);
    const spoken = spokenShard(shard);
    // What is written on a large tile is its name; on a smaller one it is not all.
    set(tile.root, "aria-label", this.#size === "large" ? null : spoken);
    set(tile.rest, "text", this.#size === "large" ? ` ${spoken}` : "");
    set(tile.root, "title", spoken);
    const to = shard.to !== null && shard.to !== shard.owner ? `→ ${shard.to}` : null;
    const name = shard.state === "processing" ? behind(shard.lag) : STATES[shard.state][0];
    set(tile.lag, "text", to ?? name);
    set(tile.rate, "text", rate === null || rate === 0 ? "" : `${amount(rate)}/s`);
    this.#dim(shard.id, tile);
  }

  #dim(id: string, { root }: Tile): void {
    const shard = this.#model.shards.get(id);
    set(root, "data-dim", shard !== undefined && !this.#search.meansShard(shard));
  }

  /** Puts tiles where they belong now; they fly there, so that the eye can follow. */
  #moveTiles(moved: readonly { shard: ShardView; place: string }[], isFirst: boolean): void {
    const flies = !isFirst && moved.length <= FLIGHTS_MAX &&
      document.visibilityState === "visible" &&
      !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const from = new Map(
      flies
        ? moved.map((
          { shard },
        ) => [shard.id, this.#tiles.get(shard.id)?.root.getBoundingClientRect()])
        : [],
    );
    const focused = document.activeElement;
    const perPlace = Map.groupBy(moved, ({ place }) => place);
    for (const [place, arrivals] of perPlace) {
      const title = place.startsWith(WORKER)
        ? place.slice(WORKER.length)
        : POOLS[place as keyof typeof POOLS][0];
      const { tiles } = this.#card(place, title);
      for (const { shard } of arrivals) {
        const tile = this.#tiles.get(shard.id);
        if (tile === undefined) continue;
        tile.place = place;
        this.#insert(tiles, tile.root, shard.id);
      }
    }
    if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus();
    for (const { shard } of flies ? moved : []) {
      const tile = this.#tiles.get(shard.id);
      if (tile !== undefined) fly(tile.root, from.get(shard.id));
    }
  }

  /** In the order of the ids; they come in that order mostly, so the end is looked at first. */
  #insert(tiles: HTMLElement, tile: HTMLElement, id: string): void {
    tile.remove();
    let next: Element | null = null;
    for (let last = tiles.lastElementChild; last !== null; last = last.previousElementSibling) {
      if ((last.getAttribute("data-shard") ?? "") < id) break;
      next = last;
    }
    tiles.insertBefore(tile, next);
  }

  #removeTile(id: string): void {
    this.#tiles.get(id)?.root.remove();
    this.#tiles.delete(id);
    if (this.#current !== id) return;
    this.#current = null;
    const next = this.#tiles.keys().next().value;
    if (next !== undefined) this.#setCurrent(next);
  }

  /** Counts, and takes away what is empty and not a worker. */
  #tidyCards(): void {
    for (const [key, card] of this.#cards) {
      const amount = card.tiles.childElementCount;
      const isGone = !key.startsWith(WORKER) || card.root.hasAttribute("data-gone");
      if (isGone && amount === 0) {
        card.root.remove();
        this.#cards.delete(key);
        continue;
      }
      set(card.count, "text", `${amount} ${amount === 1 ? "shard" : "shards"}`);
      if (!key.startsWith(WORKER)) set(card.note, "text", POOLS[key as keyof typeof POOLS][1]);
    }
    set(this.#root, "data-empty", this.#tiles.size === 0 && this.#model.workers.size === 0);
  }

  #setCurrent(id: string): void {
    if (this.#current !== null) this.#tiles.get(this.#current)?.root.setAttribute("tabindex", "-1");
    this.#current = id;
    this.#tiles.get(id)?.root.setAttribute("tabindex", "0");
  }

  /** The arrows lead to the next tile, and to the one above or below. */
  #move(event: KeyboardEvent): void {
    const tile = event.target;
    if (!(tile instanceof HTMLButtonElement) || !event.key.startsWith("Arrow")) return;
    const all = [...this.#root.querySelectorAll<HTMLButtonElement>(".tile")];
    const at = all.indexOf(tile);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = step !== 0 ? all[at + step] : nearest(tile, all, event.key === "ArrowDown");
    event.preventDefault();
    next?.focus();
  }
}

const WORKER = "worker ";

function compareKeys(a: string, b: string): number {
  const [rankA, rankB] = [a, b].map((key) =>
    key.startsWith(WORKER) ? 0 : 1 + Object.keys(POOLS).indexOf(key)
  );
  return (rankA ?? 0) - (rankB ?? 0) || compareNames(a, b) || (a < b ? -1 : 1);
}

function fly(tile: HTMLElement, from: DOMRect | undefined): void {
  if (from === undefined || from.width === 0) {
    tile.animate([{ opacity: 0, transform: "scale(.6)" }, {}], {
      duration: 300,
      easing: "ease-out",
    });
    return;
  }
  const to = tile.getBoundingClientRect();
  const move = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
  tile.animate([{ transform: move, zIndex: 5 }, { transform: "none", zIndex: 5 }], {
    duration: FLIGHT_MS,
    easing: "cubic-bezier(.3,.1,.2,1)",
  });
  tile.setAttribute("data-arrived", "");
  setTimeout(() => tile.removeAttribute("data-arrived"), 2_500);
}

/** The tile above or below another one that is nearest to it. */
function nearest<T extends HTMLElement>(
  tile: T,
  all: readonly T[],
  isBelow: boolean,
): T | undefined {
  const here = tile.getBoundingClientRect();
  let best: T | undefined;
  let bestDistance = Infinity;
  for (const other of all) {
    const there = other.getBoundingClientRect();
    const down = (isBelow ? 1 : -1) * (there.top - here.top);
    if (down < here.height / 2) continue;
    const distance = down * 4 + Math.abs(there.left - here.left);
    if (distance < bestDistance) [best, bestDistance] = [other, distance];
  }
  return best;
}

/** What the colours mean. */
export function legend(): readonly HTMLElement[] {
  return [
    ...LAG_STEPS.map(([, name], step) =>
      make(
        "li",
        {},
        make("i", { class: "tile", "data-state": "processing", "data-lag": step }),
        name,
      )
    ),
    ...(["handingOver", "stopped", "unowned"] as const).map((state) =>
      make(
        "li",
        {},
        make("i", { class: "tile", "data-state": state, "data-lag": 0 }),
        STATES[state][0].toLowerCase(),
      )
    ),
  ];
}
