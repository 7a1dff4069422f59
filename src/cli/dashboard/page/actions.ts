/**
 * Owns: giving orders to the worker, with the token that they need.
 * Must not: keep the token longer than the tab is open.
 * Called by: `details.ts`, `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />

import { find, make } from "./dom.ts";

const KEY = "kinesix-token";
const TOAST_MS = 6_000;

/** Orders, and what became of them. */
export class Actions {
  readonly #dialog = find("token-dialog", HTMLDialogElement);
  readonly #toast = find("toast", HTMLElement);
  #toastTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Gives an order; asks for the token if there is none yet, or if it was wrong.
   *
   * @returns Whether it was taken.
   */
  async order(path: string, body: Readonly<Record<string, string>> = {}): Promise<boolean> {
    const token = sessionStorage.getItem(KEY) ?? await this.askForToken();
    if (token === null) return false;
    try {
      const response = await fetch(`/dashboard/${path}`, {
        method: "POST",
        headers: { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const answer = await response.json();
      if (response.status === 401) {
        sessionStorage.removeItem(KEY);
        this.say("That is not the token of this worker: try again", true);
        return false;
      }
      this.say(String(answer.message ?? answer.error), !response.ok);
      return response.ok;
    } catch {
      // Which error it is depends on the browser; that nobody answers is what they have in common.
      this.say(
        "The worker does not answer: look at the shard again before you repeat the order",
        true,
      );
      return false;
    }
  }

  /** Asks for the token; null if nobody gives one. */
  askForToken(): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const input = make("input", {
      id: "token-input",
      type: "password",
      autocomplete: "off",
      required: true,
    });
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "token-title", text: "Token" }),
      make("label", {
        for: "token-input",
        text: "What the worker was given with --http-token. It stays in this tab.",
      }),
      input,
      make(
        "div",
        { class: "buttons" },
        make("button", { type: "button", text: "Cancel", onclick: () => this.#dialog.close() }),
        make("button", { type: "submit", class: "primary", text: "Use it" }),
      ),
    );
    form.addEventListener("submit", () => {
      sessionStorage.setItem(KEY, input.value);
    });
    this.#dialog.replaceChildren(form);
    this.#dialog.addEventListener("close", () => resolve(sessionStorage.getItem(KEY)), {
      once: true,
    });
    this.#dialog.showModal();
    input.focus();
    return promise;
  }

  /** Says something for a while. */
  say(text: string, isBad = false): void {
    clearTimeout(this.#toastTimer);
    this.#toast.dataset.tone = isBad ? "bad" : "good";
    this.#toast.textContent = text;
    // What appears is not read out everywhere; what changes is.
    find("announcer", HTMLElement).textContent = text;
    // Above whatever dialog is open.
    this.#toast.hidePopover();
    this.#toast.showPopover();
    this.#toastTimer = setTimeout(() => this.#toast.hidePopover(), TOAST_MS);
  }
}
