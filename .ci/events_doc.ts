/**
 * Owns: the table of events in `docs/json.md`, made from the union of facts.
 * Called by: `deno task docs`; a test holds that the table is what this makes.
 */

/** Where it is. */
export const JSON_DOC: URL = new URL("../docs/json.md", import.meta.url);
const EVENTS: URL = new URL("../src/events.ts", import.meta.url);
const [BEGIN, END] = [
  "<!-- events: made by `deno task docs` from src/events.ts -->",
  "<!-- /events -->",
];

/** An event, as its type says. */
export interface DescribedEvent {
  readonly type: string;
  /** Their names and their types, as TypeScript writes them; one that may be absent ends in `?`. */
  readonly fields: readonly (readonly [name: string, type: string, about: string])[];
  readonly about: string;
}

/** Every event. */
export async function describedEvents(): Promise<readonly DescribedEvent[]> {
  const text = (await Deno.readTextFile(EVENTS)).replaceAll("\r\n", "\n");
  const begin = text.indexOf("export type AppFact =");
  const facts = text.slice(begin, text.indexOf(";\n\n/**", begin));
  // A fact is a comment, and a bar with an object behind it.
  const members = facts.matchAll(
    /\n {2}\/\*\*([\s\S]*?)\*\/\n {2}\| \{([\s\S]*?)\n?(?: {2}| )\}(?=\n|$)/g,
  );
  return Array.from(members, ([, about = "", body = ""]) => {
    const [, type = ""] = /readonly type: "(\w+)"/.exec(body) ?? [];
    return { type, fields: fieldsOf(body), about: plain(about) };
  });
}

function fieldsOf(body: string): DescribedEvent["fields"] {
  const fields = body.matchAll(/(?:\/\*\*([^]*?)\*\/\s*)?readonly (\w+\??):([^]*?)(?:;|$)/g);
  return Array.from(fields, ([, about = "", name = "", type = ""]) => {
    const words = type.replaceAll(/\/\*\*[^]*?\*\//g, "").replaceAll("readonly ", "");
    return [
      name,
      words.replace(/^\s*\|/, "").replaceAll(/\s+/g, " ").trim(),
      plain(about),
    ] as const;
  }).filter(([name]) => name !== "type");
}

function plain(comment: string): string {
  return comment.replaceAll(/^\s*\*/gm, "").replaceAll(/\s+/g, " ").trim();
}

/** The document with the table as it should be. */
export async function jsonDoc(): Promise<string> {
  const text = (await Deno.readTextFile(JSON_DOC)).replaceAll("\r\n", "\n");
  const [head = ""] = text.split(BEGIN);
  const [, tail = ""] = text.split(END);
  const items = (await describedEvents()).map(({ type, fields, about }) => {
    const listed = fields.map(([name, type, about]) =>
      `  - \`${name}\`: \`${type}\`${about === "" ? "" : `. ${about}`}`
    );
    return [`- **\`${type}\`**: ${about}`, ...listed].join("\n");
  });
  return `${head}${BEGIN}\n\n${items.join("\n")}\n\n${END}${tail}`;
}

if (import.meta.main) await Deno.writeTextFile(JSON_DOC, await jsonDoc());
