/**
 * Owns: making elements. Text is always set as text, never parsed: names and messages come from outside.
 * Must not: know what is shown.
 * Called by: everything of the page that shows something.
 *
 * @module
 */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

/** What an element gets: attributes, `on...` listeners, and `text`. */
export type Properties = Readonly<
  Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>
>;

/** Makes an element. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  element.append(...children);
  return element;
}

/** Sets an attribute, or the text, if it is not so already: a page of a thousand shards must touch only what changed. */
export function set(
  element: HTMLElement,
  name: string,
  value: string | number | boolean | null | undefined,
): void {
  if (name === "text") {
    if (element.textContent !== String(value)) element.textContent = String(value);
  } else if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** The element of an id, of a certain kind. */
export function find<T extends HTMLElement>(
  id: string,
  kind: { new (): T; readonly name: string },
): T {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`Cannot find the ${kind.name} "${id}" in the page`);
}
