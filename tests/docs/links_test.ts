// That every link of the documents leads somewhere.
import { assert, assertEquals } from "@std/assert";
import { anchorsOf, type Document, isThere, linksOf, readDocuments } from "./markdown.ts";

const DOCUMENTS = await readDocuments();

/** What a link within the project leads to: a path from the root, and an anchor. */
function targetOf({ path }: Document, link: string): { path: string; anchor: string } {
  const base = new URL(path, "https://project.example/");
  const { pathname, hash } = new URL(link, base);
  return { path: decodeURIComponent(pathname.slice(1)), anchor: decodeURIComponent(hash.slice(1)) };
}

/** Why a link leads nowhere; undefined if it leads somewhere. */
async function problemOf(document: Document, link: string): Promise<string | undefined> {
  if (/^[a-z]+:/.test(link)) {
    return /^(https|mailto):/.test(link) ? undefined : `${link}: neither https nor a path`;
  }
  const { path, anchor } = targetOf(document, link);
  if (!await isThere(path)) return `${link}: there is no ${path}`;
  if (anchor === "") return undefined;
  const target = DOCUMENTS.find((other) => other.path === path);
  if (target && anchorsOf(target).has(anchor)) return undefined;
  return `${link}: ${path} has no heading of that name`;
}

Deno.test("every link of the documents leads somewhere", async () => {
  const links = DOCUMENTS.flatMap((document) =>
    linksOf(document).map((link) => ({ document, link }))
  );
  assert(links.length > 40, `${links.length} links are found`);
  const problems = await Promise.all(
    links.map(async ({ document, link }) => {
      const problem = await problemOf(document, link);
      return problem === undefined ? [] : [`${document.path}: ${problem}`];
    }),
  );
  assertEquals(problems.flat(), []);
});

Deno.test("every guide is linked in the README", () => {
  const readme = DOCUMENTS.find(({ path }) => path === "README.md");
  assert(readme);
  const linked = new Set(linksOf(readme).map((link) => targetOf(readme, link).path));
  const guides = DOCUMENTS.map(({ path }) => path).filter((path) =>
    path.startsWith("docs/") || ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].includes(path)
  );
  assertEquals(guides.filter((path) => !linked.has(path)), []);
});

Deno.test("headings and links are found as they are on GitHub", () => {
  const text = [
    "# A `code` heading, with 1.5 s & more",
    "## Twice",
    "## Twice",
    "see [this](a.md#b), [`f(x)`](c.md), and",
    "```md",
    "# no heading, [no link](d.md)",
    "```",
  ].join("\n");
  const document = { path: "x.md", text };
  assertEquals([...anchorsOf(document)], ["a-code-heading-with-15-s--more", "twice", "twice-1"]);
  assertEquals(linksOf(document), ["a.md#b", "c.md"]);
});
