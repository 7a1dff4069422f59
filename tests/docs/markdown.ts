/**
 * Owns: what is in a document: code, headings, links.
 * Must not: judge it.
 * Called by: the tests of the documents.
 *
 * @module
 */

/** A document of the project. */
export interface Document {
  /** From the root, such as `docs/start.md`. */
  readonly path: string;
  readonly text: string;
}

/** Code between fences. */
export interface CodeBlock {
  /** What stands behind the opening fence, such as `sh` or `ts ignore`. */
  readonly info: string;
  readonly text: string;
  /** Where it begins, such as `docs/start.md:12`. */
  readonly where: string;
}

const ROOT = new URL("../../", import.meta.url);

/** Where people look for documents; each folder by itself, without those in it. */
const FOLDERS = ["", "docs/", "examples/", "src/", "tests/"];

/** Every document, by path. */
export async function readDocuments(): Promise<readonly Document[]> {
  const paths = await Promise.all(FOLDERS.map(async (folder) => {
    const entries = await Array.fromAsync(Deno.readDir(new URL(folder || "./", ROOT)));
    return entries.filter(({ name }) => name.endsWith(".md")).map(({ name }) => folder + name);
  }));
  return await Promise.all(
    paths.flat().sort().map(async (path) => ({ path, text: await readText(path) })),
  );
}

/** A file of the project as text. */
export async function readText(path: string): Promise<string> {
  return (await Deno.readTextFile(new URL(path, ROOT))).replaceAll("\r\n", "\n");
}

/** Whether there is a file or a folder of that path. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(new URL(path || "./", ROOT));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The code in a document, in order. */
export function codeBlocks({ path, text }: Document): readonly CodeBlock[] {
  return Array.from(text.matchAll(/^( *)```(.*)\n([\s\S]*?)^\1```$/gm), (match) => {
    const [, , info = "", code = ""] = match;
    return { info, text: code, where: `${path}:${text.slice(0, match.index).split("\n").length}` };
  });
}

/**
 * The only code in a document that has these words. Whoever calls it runs what it gives: `blocks_test.ts` reads the calls, and
 * fails for code that nobody asks for.
 */
export async function codeIn(path: string, words: string): Promise<CodeBlock> {
  const found = (await allCodeIn(path)).filter(({ text }) => text.includes(words));
  const [block] = found;
  if (block !== undefined && found.length === 1) return block;
  throw new Error(`${path} has "${words}" in ${found.length} pieces of code, not in one`);
}

/** All code in a document, likewise. */
export async function allCodeIn(path: string): Promise<readonly CodeBlock[]> {
  return codeBlocks({ path, text: await readText(path) });
}

/** A document without the code in it. */
export function proseOf({ text }: Document): string {
  return text.replaceAll(/^( *)```.*\n[\s\S]*?^\1```$/gm, "");
}

/** The anchors of the headings of a document, as GitHub and JSR make them. */
export function anchorsOf(document: Document): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = Array.from(proseOf(document).matchAll(/^#{1,6} (.+)$/gm), ([, heading = ""]) => {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").trim().toLowerCase();
    const anchor = words.replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return times === 0 ? anchor : `${anchor}-${times}`;
  });
  return new Set(anchors);
}

/** Where the links of a document lead to, as they are written. */
export function linksOf(document: Document): readonly string[] {
  const prose = proseOf(document).replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[()]/g, ""));
  return Array.from(prose.matchAll(/\]\(([^()\s]+)\)/g), ([, target = ""]) => target);
}
