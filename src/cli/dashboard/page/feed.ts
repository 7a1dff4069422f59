/**
 * Owns: the list of what happened on this worker, the latest first.
 * Must not: keep the events; the model does.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import type { EventView } from "../protocol.ts";
import { make } from "./dom.ts";
import { clock } from "./format.ts";
import type { Model, Search } from "./model.ts";

/** More than anybody scrolls through; the search looks at all that are kept. */
const SHOWN_MAX = 120;

/** The list of events. */
export class Feed {
  readonly #root: HTMLElement;
  readonly #model: Model;
  readonly #onOpen: (shardId: string) => void;
  #search: Search;
  #isProblemsOnly = false;
  #lastId = 0;

  constructor(root: HTMLElement, model: Model, search: Search, onOpen: (shardId: string) => void) {
    this.#root = root;
    this.#model = model;
    this.#search = search;
    this.#onOpen = onOpen;
  }

  /** Shows only those that a search means, and only problems if so told. */
  filter(search: Search, isProblemsOnly: boolean): void {
    this.#search = search;
    this.#isProblemsOnly = isProblemsOnly;
    this.draw();
  }

  /** Shows all anew. */
  draw(): void {
    this.#root.replaceChildren();
    this.#lastId = 0;
    this.show();
  }

  /** Shows those that are new. */
  show(): void {
    const fresh = this.#model.events.filter((event) =>
      event.id > this.#lastId && this.#isMeant(event)
    );
    this.#lastId = this.#model.events.at(-1)?.id ?? 0;
    const items = fresh.slice(-SHOWN_MAX).reverse().map((event) => eventItem(event, this.#onOpen));
    this.#root.querySelector(".none")?.remove();
    this.#root.prepend(...items);
    while (this.#root.childElementCount > SHOWN_MAX) this.#root.lastElementChild?.remove();
    if (this.#root.childElementCount === 0) {
      this.#root.append(
        make("li", { class: "none", text: "Nothing of that kind has happened yet" }),
      );
    }
  }

  #isMeant(event: EventView): boolean {
    const isProblem = event.tone === "bad" || event.tone === "warning";
    return (isProblem || !this.#isProblemsOnly) && this.#search.meansEvent(event);
  }
}

const TONES: Readonly<Record<EventView["tone"], string>> = {
  plain: "",
  good: "",
  quiet: "",
  warning: "Warning: ",
  bad: "Problem: ",
};

/** An event as an item of a list. */
export function eventItem(event: EventView, onOpen?: (shardId: string) => void): HTMLElement {
  const { shard } = event;
  const text = make("p", {}, make("span", { class: "unseen", text: TONES[event.tone] }));
  const [before = "", ...after] = shard === null ? [event.text] : event.text.split(shard);
  text.append(before);
  if (shard !== null && after.length > 0) {
    text.append(
      onOpen === undefined ? shard : make("button", {
        type: "button",
        class: "link",
        text: shard,
        onclick: () => onOpen(shard),
      }),
      after.join(shard),
    );
  }
  return make(
    "li",
    { "data-tone": event.tone },
    make("time", { datetime: new Date(event.at).toISOString(), text: clock(event.at) }),
    text,
  );
}
