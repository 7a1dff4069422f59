/**
 * Owns: what `docs/json.md` says that commands print, and whether a value is that.
 * Must not: run a command.
 * Called by: the test of that document, and tests that have the output of a command at hand.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { describedEvents } from "../../.ci/events_doc.ts";
import { allCodeIn, readText } from "./markdown.ts";

/** A field in a table. */
export interface Field {
  /** As `workers[].workerId`. */
  readonly path: string;
  readonly isOptional: boolean;
  /** One of these. */
  readonly types: readonly string[];
}

/** What one or several commands print. */
export interface Shape {
  /** As in the heading: `shard stop`. */
  readonly commands: readonly string[];
  readonly fields: ReadonlyMap<string, Field>;
  readonly examples: readonly unknown[];
}

/** Everything that the document says. */
export async function readShapes(): Promise<readonly Shape[]> {
  const text = await readText("docs/json.md");
  const blocks = await allCodeIn("docs/json.md");
  return text.split(/^## /m).slice(1).map((section) => {
    const [heading = ""] = section.split("\n");
    return {
      commands: Array.from(heading.matchAll(/`([^`]+)`/g), ([, name = ""]) => name),
      fields: new Map(fieldsOf(section).map((field) => [field.path, field])),
      examples: blocks.filter(({ text }) => section.includes(text)).map(({ text }) =>
        JSON.parse(text)
      ),
    };
  });
}

function fieldsOf(section: string): readonly Field[] {
  const rows = section.matchAll(/^\| `([^`]+)` *\| (.*?[^\\]) \| .*\|$/gm);
  return Array.from(rows, ([, name = "", types = ""]) => ({
    path: name.replace(/\?$/, ""),
    isOptional: name.endsWith("?"),
    types: types.trim().split(/ \\\| /),
  }));
}

/** The shape of a command. */
export async function shapeOf(command: string): Promise<Shape> {
  const shape = (await readShapes()).find(({ commands }) => commands.includes(command));
  if (shape === undefined) throw new Error(`docs/json.md says nothing of ${command}`);
  return shape;
}

/** Makes sure that an output is what the document says of its command. */
export async function assertDocumented(command: string, output: unknown): Promise<void> {
  const { problems } = compare(await shapeOf(command), output);
  assertEquals(problems, [], `${command}: ${JSON.stringify(output)}`);
}

/** Makes sure that events have the fields that the document lists, and no others. */
export async function assertEventsDocumented(events: readonly object[]): Promise<void> {
  const described = new Map((await describedEvents()).map((event) => [event.type, event.fields]));
  for (const event of events) {
    const { type, time: _, workerId: __, ...rest } = event as Record<string, unknown>;
    const fields = described.get(String(type));
    assertEquals(fields === undefined, false, `docs/json.md says nothing of ${type}`);
    const names = (fields ?? []).map(([name]) => name);
    const unknown = Object.keys(rest).filter((name) =>
      !names.includes(name) && !names.includes(`${name}?`)
    );
    const missing = names.filter((name) => !name.endsWith("?") && !(name in rest));
    assertEquals([unknown, missing], [[], []], JSON.stringify(event));
  }
}

/** What of a value is not as it is documented, and the paths that it has. */
export function compare(
  { fields }: Shape,
  value: unknown,
): { readonly problems: readonly string[]; readonly paths: ReadonlySet<string> } {
  const problems: string[] = [];
  const paths = new Set<string>();
  const look = (value: unknown, path: string): void => {
    if (Array.isArray(value)) return value.forEach((item) => look(item, `${path}[]`));
    if (typeof value !== "object" || value === null) return;
    const prefix = path === "" ? "" : `${path}.`;
    const children = new Map(Object.entries(value));
    for (const [name, child] of children) {
      const field = fields.get(prefix + name);
      paths.add(prefix + name);
      if (field === undefined) problems.push(`${prefix}${name} is not documented`);
      else if (!field.types.some((type) => is(child, type))) {
        problems.push(`${field.path} is ${JSON.stringify(child)}, not ${field.types.join(" | ")}`);
      }
      if (field?.types.includes("any") !== true) look(child, prefix + name);
    }
    for (const { path, isOptional } of fields.values()) {
      const name = path.slice(prefix.length);
      const isOwn = path.startsWith(prefix) && !/[.[]/.test(name);
      if (isOwn && !isOptional && !children.has(name)) problems.push(`${path} is missing`);
    }
  };
  look(value, "");
  return { problems, paths };
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const POSITION = /^(\d+(:\d+)?|TRIM_HORIZON|SHARD_END|AT_TIMESTAMP:.+Z)$/;

function is(value: unknown, type: string): boolean {
  switch (type) {
    case "any":
      return true;
    case "null":
      return value === null;
    case "string":
      return typeof value === "string";
    case "time":
      return typeof value === "string" && TIME.test(value);
    case "position":
      return typeof value === "string" && POSITION.test(value);
    case "number":
      return typeof value === "number";
    case "integer":
      return Number.isSafeInteger(value) && Number(value) >= 0;
    case "boolean":
      return typeof value === "boolean";
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "object[]":
    case "string[]":
      return Array.isArray(value) && value.every((item) => is(item, type.slice(0, -2)));
    default:
      if (!/^"[^"]*"$/.test(type)) throw new Error(`docs/json.md: there is no type ${type}`);
      return JSON.stringify(value) === type;
  }
}
