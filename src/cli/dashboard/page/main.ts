/**
 * Owns: the page: what comes from the worker goes to the parts that show it, once a frame; search, pause and colours.
 * Must not: draw anything itself but the figures.
 * Called by: `page.html`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import type { EventView } from "../protocol.ts";
import { Actions } from "./actions.ts";
import { Charts } from "./charts.ts";
import { Details } from "./details.ts";
import { find, make, set } from "./dom.ts";
import { Feed } from "./feed.ts";
import { ago, amount, behind, count, lagStep, shortId, size } from "./format.ts";
import { type ConnectionState, listen } from "./live.ts";
import { type Changes, Model, Search } from "./model.ts";
import { legend, Picture } from "./picture.ts";
import { ShardTable } from "./shard_table.ts";

const TICK_MS = 1_000;
/** Who hears the page is told of what went wrong, but not of everything at once. */
const ANNOUNCE_MS = 3_000;

const model = new Model();
const actions = new Actions();
const details = new Details(find("details", HTMLDialogElement), model, actions);
const open = (shardId: string): void => details.open(shardId);
let search = new Search("");
const picture = new Picture(find("picture", HTMLElement), model, search, open);
const table = new ShardTable(
  find("table", HTMLElement),
  find("shown", HTMLElement),
  model,
  search,
  open,
);
const feed = new Feed(find("feed", HTMLElement), model, search, open);
const problems = find("problems", HTMLInputElement);
const themeButton = find("theme", HTMLButtonElement);
const pauseButton = find("pause", HTMLButtonElement);
applyTheme();
const charts = new Charts(find("lag-chart", HTMLElement), find("rate-chart", HTMLElement), model);
find("legend", HTMLElement).append(...legend());

/** What changed and is not shown yet. */
let pending: Changes | null = null;
let isPaused = false;
let isDue = false;

function take(changes: Changes): void {
  pending = pending === null ? changes : {
    shards: pending.shards === "all" || changes.shards === "all"
      ? "all"
      : new Set([...pending.shards, ...changes.shards]),
    workers: pending.workers || changes.workers,
    events: pending.events || changes.events,
    points: pending.points || changes.points,
  };
  if (isDue || isPaused) return;
  isDue = true;
  requestAnimationFrame(show);
}

function show(): void {
  isDue = false;
  const changes = pending;
  pending = null;
  if (changes === null) return;
  const isShards = changes.shards === "all" || changes.shards.size > 0;
  if (isShards || changes.workers) picture.show(changes.shards);
  if (isShards) table.show();
  if (changes.shards === "all") feed.draw();
  else if (changes.events) feed.show();
  if (changes.points) charts.show();
  details.show();
  showFigures();
  showFacts();
}

const figures = new Map<
  string,
  { readonly root: HTMLElement; readonly value: HTMLElement; readonly note: HTMLElement }
>();

function figure(
  name: string,
  value: string,
  note: string,
  tone: "bad" | "warning" | "" = "",
): void {
  let parts = figures.get(name);
  if (parts === undefined) {
    const valueElement = make("p", { class: "value" });
    const noteElement = make("p", { class: "note" });
    const root = make(
      "div",
      { class: "figure" },
      make("h2", { text: name }),
      valueElement,
      noteElement,
    );
    find("figures", HTMLElement).append(root);
    parts = { root, value: valueElement, note: noteElement };
    figures.set(name, parts);
  }
  set(parts.value, "text", value);
  set(parts.note, "text", note);
  set(parts.root, "data-tone", tone);
}

function showFigures(): void {
  const shards = [...model.shards.values()];
  const counts = Map.groupBy(shards, ({ state }) => state);
  const countOf = (state: Parameters<typeof counts.get>[0]): number =>
    counts.get(state)?.length ?? 0;
  const workers = [...model.workers.values()];
  const alive = workers.filter(({ isAlive }) => isAlive).length;
  const isKnown = model.look.at !== null;
  const openShards = shards.length - countOf("closed");
  const moving = countOf("handingOver");
  const worst = model.worst();
  const last = model.history.at(-1);
  const stopped = countOf("stopped");
  const free = countOf("unowned");
  figure(
    "Workers",
    isKnown ? count(alive) : "–",
    alive === workers.length ? "all alive" : `${workers.length - alive} without a heartbeat`,
    alive < workers.length ? "warning" : "",
  );
  figure(
    "Open shards",
    isKnown ? count(openShards) : "–",
    moving > 0
      ? `${moving} moving`
      : countOf("closed") > 0
      ? `${countOf("closed")} finished`
      : "none moving",
  );
  const step = lagStep(worst?.lag ?? null);
  figure(
    "Furthest behind",
    worst === null ? "–" : behind(worst.lag).replace(" behind", ""),
    worst === null
      ? "not known yet"
      : worst.lag === 0
      ? "every shard"
      : `shard ${shortId(worst.id)}`,
    step > 3 ? "bad" : step > 2 ? "warning" : "",
  );
  figure(
    "Records/s here",
    amount(last?.recordsPerSecond ?? 0),
    `${size(last?.bytesPerSecond ?? 0)}/s on this worker`,
  );
  figure(
    "Needs attention",
    isKnown ? count(stopped + free) : "–",
    stopped + free === 0 ? "no shard is stopped or free" : `${stopped} stopped, ${free} free`,
    stopped > 0 ? "bad" : free > 0 ? "warning" : "",
  );
}

function showFacts(): void {
  const { facts, look } = model;
  if (facts === null) return;
  set(find("stream", HTMLElement), "text", facts.streamName);
  set(find("app", HTMLElement), "text", `app ${facts.appName} · seen from ${facts.workerId}`);
  const title = `${facts.streamName} · Kinesix`;
  if (document.title !== title) document.title = title;
  const trouble = find("trouble", HTMLElement);
  trouble.hidden = look.error === null;
  set(
    trouble,
    "text",
    look.error === null
      ? ""
      : `The state table cannot be read, so workers and shards are as they were: ${look.error}`,
  );
  const token = find("token", HTMLButtonElement);
  token.hidden = !facts.takesOrders;
  const swap = find("swap", HTMLButtonElement);
  swap.hidden = !facts.takesProcessors || !facts.takesOrders;
}

const connection = find("connection", HTMLElement);
const STATE_NAMES = { connecting: "Connecting", live: "Live", lost: "Reconnecting" } as const;

function showConnection(state: ConnectionState): void {
  if (connection.dataset.state === "lost" && state === "live") announce("Connected again");
  if (connection.dataset.state === "live" && state === "lost") announce("Connection lost");
  connection.dataset.state = state;
  set(
    connection.querySelector("span") ?? connection,
    "text",
    isPaused && state === "live" ? "Paused" : STATE_NAMES[state],
  );
}

let announcements: string[] = [];
let announceTimer: ReturnType<typeof setTimeout> | undefined;

function announce(text: string): void {
  announcements.push(text);
  if (announceTimer !== undefined) return;
  announceTimer = setTimeout(() => {
    announceTimer = undefined;
    const [first = "", ...others] = announcements;
    const more = others.length === 0 ? "" : `, and ${others.length} more`;
    announcements = [];
    find("announcer", HTMLElement).textContent = first + more;
  }, ANNOUNCE_MS);
}

function announceBad(events: readonly EventView[] = []): void {
  for (const event of events) if (event.tone === "bad") announce(event.text);
}

function applyTheme(next = localStorage.getItem("kinesix-theme") ?? "auto"): void {
  localStorage.setItem("kinesix-theme", next);
  set(document.documentElement, "data-theme", next === "auto" ? null : next);
  const name = next === "auto" ? "as the system has them" : next;
  themeButton.textContent = next.charAt(0).toUpperCase() + next.slice(1);
  set(themeButton, "aria-label", `${themeButton.textContent}: colours of the page`);
  set(themeButton, "title", `Colours: ${name}`);
}

function filter(): void {
  search = new Search(find("search", HTMLInputElement).value);
  picture.find(search);
  table.find(search);
  feed.filter(search, problems.checked);
}

find("search", HTMLInputElement).addEventListener("input", filter);
problems.addEventListener("change", filter);
themeButton.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  applyTheme(now === "auto" ? "light" : now === "light" ? "dark" : "auto");
  charts.draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.draw());
pauseButton.addEventListener("click", () => {
  isPaused = !isPaused;
  set(pauseButton, "aria-pressed", String(isPaused));
  pauseButton.textContent = isPaused ? "Go on" : "Pause";
  showConnection(connection.dataset.state as ConnectionState);
  if (!isPaused) show();
});
find("token", HTMLButtonElement).addEventListener("click", () => void actions.askForToken());
find("swap", HTMLButtonElement).addEventListener(
  "click",
  () => void actions.order("processor/look"),
);
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement ||
    event.target instanceof HTMLSelectElement;
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  find("search", HTMLInputElement).focus();
});
setInterval(() => {
  if (!isPaused && document.visibilityState === "visible") {
    picture.tick();
    set(find("seen", HTMLElement), "text", seen());
    table.show();
    details.show();
  }
}, TICK_MS);

/** How old it is what the page shows: of a large cluster the lags are read less often than who has which shard. */
function seen(): string {
  const { at, movesAt } = model.look;
  if (at === null || movesAt === null) return "";
  const now = model.now();
  return movesAt - at < TICK_MS
    ? `seen ${ago(at, now)}`
    : `seen ${ago(movesAt, now)}, lags ${ago(at, now)}`;
}

listen({
  onState: showConnection,
  onSnapshot: (snapshot) => take(model.start(snapshot)),
  onUpdate: (update) => {
    announceBad(update.events);
    take(model.update(update));
  },
});
