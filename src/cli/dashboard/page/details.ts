/**
 * Owns: what is known of one shard, and the orders about it.
 * Must not: carry orders out.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import type { ShardView } from "../protocol.ts";
import type { Actions } from "./actions.ts";
import { make, set } from "./dom.ts";
import { eventItem } from "./feed.ts";
import { ago, amount, behind, compareNames, lagStep, shortId, STATES } from "./format.ts";
import type { Model } from "./model.ts";

const EVENTS_MAX = 30;
const SURE_MS = 4_000;

/** The dialog about a shard. */
export class Details {
  readonly #dialog: HTMLDialogElement;
  readonly #model: Model;
  readonly #actions: Actions;
  #id: string | null = null;
  #parts: Parts | null = null;
  #lastEvents = "";

  constructor(dialog: HTMLDialogElement, model: Model, actions: Actions) {
    this.#dialog = dialog;
    this.#model = model;
    this.#actions = actions;
    dialog.addEventListener("close", () => {
      this.#id = null;
    });
    // A click beside it closes it.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  /** Opens it for a shard. */
  open(shardId: string): void {
    if (!this.#model.shards.has(shardId)) return;
    this.#id = shardId;
    this.#lastEvents = "";
    this.#parts = this.#build(shardId);
    this.show();
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Shows the shard as it is now. */
  show(): void {
    if (this.#id === null || this.#parts === null) return;
    const shard = this.#model.shards.get(this.#id);
    if (shard === undefined) return this.#dialog.close();
    const { badge, values, events } = this.#parts;
    set(badge, "text", STATES[shard.state][0]);
    set(badge, "data-state", shard.state);
    set(badge, "data-lag", lagStep(shard.lag));
    for (const [name, text] of Object.entries(this.#facts(shard))) {
      const value = values.get(name);
      if (value !== undefined) set(value, "text", text);
    }
    this.#showOrders(shard);
    const about = this.#model.events.filter((event) => event.shard === shard.id).slice(-EVENTS_MAX);
    const key = about.map(({ id }) => id).join();
    if (key === this.#lastEvents) return;
    this.#lastEvents = key;
    events.replaceChildren(...about.reverse().map((event) => eventItem(event)));
  }

  #facts(shard: ShardView): Readonly<Record<string, string>> {
    const now = this.#model.now();
    const rate = this.#model.rate(shard);
    const children = [...this.#model.shards.values()].filter(({ parents }) =>
      parents.includes(shard.id)
    );
    const stopped = shard.stoppedAt === null
      ? ""
      : ` (by an operator, ${ago(shard.stoppedAt, now)})`;
    return {
      "State": STATES[shard.state][1] + stopped,
      "Worker": shard.owner ?? "nobody",
      "Going to": shard.to !== null && shard.to !== shard.owner ? shard.to : "–",
      "Behind the tip": shard.state === "closed" ? "–" : behind(shard.lag),
      "Records a second": rate === null ? "known to its worker only" : amount(rate),
      "Checkpoint": shard.checkpoint,
      "Written": shard.checkpointAt === null ? "not yet" : ago(shard.checkpointAt, now),
      "Term": `${shard.term}: how often it changed hands`,
      "Made from": shard.parents.join(", ") || "–",
      "Went on in": children.map(({ id }) => id).join(", ") || "–",
    };
  }

  #showOrders(shard: ShardView): void {
    const { buttons, to, note } = this.#parts ?? {};
    if (buttons === undefined || to === undefined || note === undefined) return;
    const takesOrders = this.#model.facts?.takesOrders ?? false;
    const isOpen = takesOrders && shard.state !== "closed";
    const others = [...this.#model.workers.values()].filter(({ id, isAlive }) =>
      isAlive && id !== shard.owner
    ).map(({ id }) => id).sort(compareNames);
    const known = [...to.options].map(({ value }) => value);
    if (known.slice(1).join("\n") !== others.join("\n")) {
      const names = others.map((id) => make("option", { value: id, text: id }));
      to.replaceChildren(make("option", { value: "", text: "the one with the fewest" }), ...names);
    }
    const isHalted = shard.state === "stopped" || shard.stoppedAt !== null;
    set(buttons.stop, "disabled", !isOpen || isHalted);
    set(buttons.start, "disabled", !isOpen || !isHalted);
    const canMove = isOpen && !isHalted && others.length > 0 && shard.state !== "waitingForParents";
    set(buttons.handOver, "disabled", !canMove);
    set(to, "disabled", !canMove);
    const why = !takesOrders
      ? "This worker takes no orders: it was started without --http-token."
      : shard.state === "closed"
      ? "Every record of it is finished: there is nothing to steer."
      : "An order goes to the whole cluster, through the state table.";
    set(note, "text", why);
  }

  #build(shardId: string): Parts {
    const badge = make("span", { class: "badge" });
    const values = new Map<string, HTMLElement>();
    const list = make("dl");
    for (const name of FACT_NAMES) {
      const value = make("dd");
      values.set(name, value);
      list.append(make("dt", { text: name }), value);
    }
    const events = make("ol", { class: "feed", "aria-label": "Events of this shard", tabindex: 0 });
    const to = make("select", { "aria-label": "Worker to hand over to" });
    const order = (name: string, more: Readonly<Record<string, string>> = {}): void =>
      void this.#actions.order(`shards/${name}`, { shardId, ...more });
    const stop = make("button", { type: "button", class: "danger", text: "Stop" });
    stop.addEventListener("click", () => confirmed(stop) && order("stop"));
    const start = make("button", { type: "button", text: "Start", onclick: () => order("start") });
    const handOver = make("button", {
      type: "button",
      text: "Hand over to",
      onclick: () => to.value === "" ? order("release") : order("handover", { to: to.value }),
    });
    const note = make("p", { class: "muted" });
    this.#dialog.replaceChildren(
      make(
        "header",
        {},
        make("h2", { id: "details-title" }, "Shard ", make("b", { text: shortId(shardId) })),
        badge,
        make("button", {
          type: "button",
          class: "close",
          "aria-label": "Close",
          text: "×",
          onclick: () => this.#dialog.close(),
        }),
      ),
      make("p", { class: "mono muted", text: shardId }),
      list,
      make(
        "div",
        { class: "orders", role: "group", "aria-label": "Orders" },
        stop,
        start,
        handOver,
        to,
      ),
      note,
      make("h3", { text: "What happened here" }),
      events,
    );
    return { badge, values, events, to, note, buttons: { stop, start, handOver } };
  }
}

interface Parts {
  readonly badge: HTMLElement;
  readonly values: ReadonlyMap<string, HTMLElement>;
  readonly events: HTMLElement;
  readonly to: HTMLSelectElement;
  readonly note: HTMLElement;
  readonly buttons: {
    readonly stop: HTMLButtonElement;
    readonly start: HTMLButtonElement;
    readonly handOver: HTMLButtonElement;
  };
}

const FACT_NAMES = [
  "State",
  "Worker",
  "Going to",
  "Behind the tip",
  "Records a second",
  "Checkpoint",
  "Written",
  "Term",
  "Made from",
  "Went on in",
] as const;

/** A second press means it: the shard stands still until somebody starts it. */
function confirmed(stop: HTMLButtonElement): boolean {
  if (stop.dataset.sure !== undefined) {
    calm(stop);
    return true;
  }
  stop.dataset.sure = "";
  stop.textContent = "Stop it for the whole cluster?";
  setTimeout(() => calm(stop), SURE_MS);
  return false;
}

function calm(stop: HTMLButtonElement): void {
  delete stop.dataset.sure;
  stop.textContent = "Stop";
}
