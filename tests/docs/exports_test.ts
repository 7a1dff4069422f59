// That everything the package exports is documented: entries, symbols, and the members of interfaces and classes.
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import packageFile from "../../deno.json" with { type: "json" };

interface Documented {
  readonly name?: string;
  readonly jsDoc?: { readonly doc?: string };
  readonly accessibility?: string;
}

interface Declaration extends Documented {
  readonly kind: string;
  readonly def?: {
    readonly properties?: readonly Documented[];
    readonly methods?: readonly Documented[];
  };
}

interface Entry {
  readonly module_doc?: { readonly doc?: string };
  readonly symbols?: readonly {
    readonly name: string;
    readonly declarations: readonly Declaration[];
  }[];
}

const ENTRIES = Object.values(packageFile.exports);

async function readDocs(): Promise<Readonly<Record<string, Entry>>> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...ENTRIES],
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).nodes;
}

/** What of a declaration has to say what it is, with its name. */
function partsOf(
  name: string,
  declaration: Declaration,
): readonly (readonly [string, Documented])[] {
  const { properties = [], methods = [] } = declaration.def ?? {};
  const members = [...properties, ...methods].filter((member) =>
    member.accessibility !== "private"
  );
  return [
    [name, declaration],
    ...members.map((member) => [`${name}.${member.name}`, member] as const),
  ];
}

Deno.test("everything that the package exports is documented", async () => {
  const docs = await readDocs();
  assertEquals(Object.keys(docs).length, ENTRIES.length);
  const silent = Object.keys(docs).filter((entry) => !docs[entry]?.module_doc?.doc);
  assertEquals(silent, [], "what begins an entry is what JSR shows of it");
  const parts = Object.values(docs).flatMap(({ symbols = [] }) =>
    symbols.flatMap(({ name, declarations }) => declarations.flatMap((d) => partsOf(name, d)))
  );
  assert(parts.length > 300, `${parts.length} are found`);
  const undocumented = parts.filter(([, { jsDoc }]) => !jsDoc?.doc).map(([name]) => name);
  assertEquals([...new Set(undocumented)], []);
});
