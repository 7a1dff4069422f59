// Owns: the rules of this code base that no compiler knows: who imports whom, what is ambient, how long is too long.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 60;

interface SourceFile {
  /** From the root, such as `src/core/lease.ts`. */
  readonly path: string;
  readonly text: string;
}

async function* pathsUnder(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    if (entry.isDirectory) yield* pathsUnder(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

async function read(path: string): Promise<SourceFile> {
  return { path, text: await Deno.readTextFile(new URL(path, ROOT)) };
}

/** What the package exports, and the program. */
const ENTRIES: readonly string[] = ["mod.ts", "telemetry.ts", "testing.ts", "cli.ts"];

const SOURCES: readonly SourceFile[] = await Promise.all([
  ...await Array.fromAsync(pathsUnder("src/")),
  ...ENTRIES,
].map(read));
const TESTS: readonly SourceFile[] = await Promise.all(
  await Array.fromAsync(pathsUnder("tests/"), read),
);

/** What is left of a source when nobody reads it aloud: no comments, and no text within quotes. */
function codeOf(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, " "))
    .replaceAll(/(^|[\s;,{}()])\/\/.*$/gm, "$1")
    .replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

/** An import, with the path of what is imported; a package keeps its name. */
interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

function importsOf({ path, text }: SourceFile): readonly Import[] {
  const statements = text.matchAll(
    /^(?:import\s+(type\s)?(?:[\w\s,*]*(?:\{[^}]*\}\s*)?from\s+)?|export\s+(type\s)?(?:\{[^}]*\}|\*[\w\s]*)\s*from\s+)"([^"]+)"/gm,
  );
  const dynamic = text.matchAll(/^(?!\s*\*).*\bimport\(()()"([^"]+)"\)/gm);
  return [...statements, ...dynamic].map(([, imported, exported, name = ""]) => ({
    from: path,
    to: name.startsWith(".")
      ? new URL(name, new URL(path, ROOT)).href.slice(ROOT.href.length)
      : name,
    isTypeOnly: Boolean(imported ?? exported),
  }));
}

const IMPORTS: readonly Import[] = SOURCES.flatMap(importsOf);

/** The room of a file: `core`, `runtime`, `adapters`, `local`, `cli`, or the file itself. */
function roomOf(path: string): string {
  return /^src\/([a-z]+)\//.exec(path)?.[1] ?? path;
}

/** Who may import whom, packages apart. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: ["core"],
  "src/transaction_item.ts": [],
  "src/errors.ts": ["src/transaction_item.ts"],
  "src/ports.ts": ["core", "src/errors.ts", "src/transaction_item.ts"],
  "src/events.ts": ["core", "src/errors.ts"],
  "src/processor.ts": ["core", "src/errors.ts", "src/transaction_item.ts"],
  "src/event_hub.ts": ["src/events.ts"],
  runtime: [
    "runtime",
    "core",
    "src/ports.ts",
    "src/events.ts",
    "src/errors.ts",
    "src/processor.ts",
    "src/transaction_item.ts",
  ],
  adapters: [
    "adapters",
    "core",
    "src/ports.ts",
    "src/events.ts",
    "src/errors.ts",
    "src/transaction_item.ts",
  ],
  local: ["local"],
  sandbox: ["sandbox", "runtime", "core", "src/ports.ts", "src/errors.ts", "src/processor.ts"],
  testing: [
    "testing",
    "src/app.ts",
    "adapters",
    "runtime",
    "core",
    "src/ports.ts",
    "src/events.ts",
    "src/errors.ts",
    "src/processor.ts",
  ],
  pull: ["pull", "runtime", "src/ports.ts", "src/errors.ts", "src/processor.ts"],
  windows: ["windows", "core", "src/errors.ts", "src/processor.ts"],
  sink: ["sink", "runtime", "src/errors.ts", "src/processor.ts", "src/transaction_item.ts"],
  "src/reader.ts": ["src/app.ts", "pull", "adapters", "src/processor.ts"],
  telemetry: ["telemetry", "core", "src/events.ts", "src/errors.ts"],
  "src/world.ts": ["adapters", "core", "src/ports.ts", "src/events.ts"],
  "src/app.ts": [
    "src/world.ts",
    "adapters",
    "runtime",
    "core",
    "src/event_hub.ts",
    "src/events.ts",
    "src/errors.ts",
    "src/ports.ts",
    "src/processor.ts",
    "deno.json",
  ],
};

/** The rooms whose imports the table does not list: they are at the edge. */
const EDGE = ["cli", ...ENTRIES];

Deno.test("tidy: every room imports only what it may", () => {
  const wrong = IMPORTS.filter(({ from, to }) => {
    const allowed = MAY_IMPORT[roomOf(from)];
    const isOurs = to.startsWith("src/") || to.endsWith(".ts") || to.endsWith(".json");
    return isOurs && allowed !== undefined && !allowed.includes(roomOf(to));
  });
  assertEquals(wrong, []);
  const rooms = new Set(SOURCES.map(({ path }) => roomOf(path)));
  const unknown = [...rooms].filter((room) =>
    MAY_IMPORT[room] === undefined && !EDGE.includes(room)
  );
  assertEquals(unknown, [], "a new room needs a line in the table");
  assert(IMPORTS.length > 100, "the imports are found");
});

Deno.test("tidy: ports, events and processor take only types from the core", () => {
  const files = ["src/ports.ts", "src/events.ts", "src/processor.ts"];
  assertEquals(IMPORTS.filter(({ from, isTypeOnly }) => files.includes(from) && !isTypeOnly), []);
});

Deno.test("tidy: the core uses no package at all", () => {
  const packages = IMPORTS.filter(({ from, to }) =>
    roomOf(from) === "core" && !to.startsWith("src/")
  );
  assertEquals(packages, []);
});

Deno.test("tidy: nothing but the command line and the tests uses the local stack", () => {
  const wrong = IMPORTS.filter(({ from, to }) =>
    roomOf(to) === "local" && !["local", "cli"].includes(roomOf(from))
  );
  assertEquals(wrong, []);
});

Deno.test("tidy: only the app's types reach the command line from the runtime, and nothing imports the command line", () => {
  const wrong = IMPORTS.filter(({ from, to, isTypeOnly }) =>
    (roomOf(to) === "cli" && !["cli", "cli.ts"].includes(roomOf(from))) ||
    (roomOf(from) === "cli" && roomOf(to) === "runtime" && !isTypeOnly) ||
    // A processor that is loaded gets the package that runs it.
    (to === "mod.ts" && from !== "src/cli/load_processor/own_package.ts")
  );
  assertEquals(wrong, []);
});

Deno.test("tidy: the entries of the package contain no code", () => {
  for (const path of ENTRIES.filter((path) => path !== "cli.ts")) {
    const { text } = find(path);
    const rest = codeOf(text).replaceAll(/^export (type )?\{[^}]*\} from "";$/gm, "");
    assertEquals(rest.trim(), "");
  }
});

Deno.test("tidy: nothing of the package but testing.ts uses the test kit", () => {
  const wrong = IMPORTS.filter(({ from, to }) =>
    roomOf(to) === "testing" && !["testing", "testing.ts"].includes(roomOf(from))
  );
  assertEquals(wrong, []);
});

/** What reads the machine's time, chance or output. */
const AMBIENT =
  /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|crypto\.(randomUUID|getRandomValues)|setTimeout|setInterval|setImmediate|AbortSignal\.timeout|console\.)/;
const MAY_BE_AMBIENT = [
  /^src\/adapters\/(system|worker_identity)\.ts$/,
  // A turn of the event loop is no time.
  /^src\/testing\/virtual_clock\.ts$/,
  /^src\/(cli|local)\//,
  /^cli\.ts$/,
];

Deno.test("tidy: time, chance and output come in as arguments", () => {
  const wrong = SOURCES.filter(({ path }) => !MAY_BE_AMBIENT.some((rule) => rule.test(path)))
    .flatMap(({ path, text }) =>
      codeOf(text).split("\n").flatMap((line, i) =>
        AMBIENT.test(line) ? [`${path}:${i + 1} ${line.trim()}`] : []
      )
    );
  assertEquals(wrong, []);
});

Deno.test("tidy: the core is synchronous", () => {
  const wrong = SOURCES.filter(({ path, text }) =>
    roomOf(path) === "core" && /\b(async|await|Promise)\b/.test(codeOf(text))
  );
  assertEquals(wrong.map(({ path }) => path), []);
});

Deno.test(`tidy: no file has more than ${LINES_MAX} lines`, () => {
  const long = [...SOURCES, ...TESTS].map(({ path, text }) => ({
    path,
    lines: text.split("\n").length - 1,
  }))
    .filter(({ lines }) => lines > LINES_MAX);
  assertEquals(long, []);
});

/** The functions and methods of a formatted file: from their first line to the brace in the same column. */
function functionsOf({ path, text }: SourceFile): readonly { where: string; lines: number }[] {
  const lines = text.split("\n");
  const begins =
    /^( *)(?:export )?(?:(?:static |override |private )*(?:async )?(?:\*|get |set )?[#\w]+(?:<.*>)?\(|(?:async )?function\b|const \w+ = (?:async )?(?:function|\())/;
  const statement = /^ *(?:if|for|while|switch|return|throw|await|catch|using)\b/;
  return lines.flatMap((line, first) => {
    const indent = begins.exec(line)?.[1];
    if (indent === undefined || statement.test(line)) return [];
    const isInColumn = (other: string, i: number): boolean =>
      i > first && other.startsWith(indent) && other.charAt(indent.length) !== " ";
    // The parameters may have lines of their own; what has no body is a call or a declaration.
    const isWhole = line.endsWith("{");
    const head = isWhole ? first : lines.findIndex(isInColumn);
    if (!isWhole && !/^ *\).*\{$/.test(lines[head] ?? "")) return [];
    const last = lines.findIndex((other, i) => i > head && isInColumn(other, i));
    return [{ where: `${path}:${first + 1}`, lines: last - first + 1 }];
  });
}

Deno.test(`tidy: no function of src has more than ${FUNCTION_LINES_MAX} lines`, () => {
  const all = SOURCES.flatMap(functionsOf);
  assert(all.length > 300, `${all.length} functions are found`);
  assertEquals(all.filter(({ lines }) => lines > FUNCTION_LINES_MAX), []);
});

Deno.test("tidy: exports are named", () => {
  // What describes a package has to say what that package does.
  const ours = [...SOURCES, ...TESTS].filter(({ path }) => !path.endsWith(".d.ts"));
  const wrong = ours.filter(({ path, text }) =>
    /^export default\b/m.test(codeOf(text)) && !path.endsWith("_processor.ts")
  );
  assertEquals(wrong.map(({ path }) => path), []);
});

Deno.test("tidy: every file begins by saying what it owns", () => {
  const silent = SOURCES.filter(({ path, text }) =>
    !path.endsWith(".d.ts") && !ENTRIES.includes(path) &&
    !/^(#!.*\n)?(\/\*\*\n \* |\/\/ )Owns: /.test(text)
  );
  assertEquals(silent.map(({ path }) => path), []);
});

Deno.test("tidy: whoever is said to call a file imports it", () => {
  const imports = [...IMPORTS, ...TESTS.flatMap(importsOf)];
  const callersOf = (path: string): ReadonlySet<string> =>
    new Set(imports.filter(({ to }) => to === path).map(({ from }) => from));
  const named = SOURCES.flatMap(({ path, text }) => {
    const line =
      /^(?: \*|\/\/) Called by: ([\s\S]*?)(?:\n \*\n| \*\/|\n(?!\/\/))/m.exec(text)?.[1] ?? "";
    return [...line.matchAll(/`([\w/.]+\.ts)`/g)].map(([, name = ""]) => ({ path, name }));
  });
  const wrong = named.filter(({ path, name }) => {
    const callers = callersOf(path);
    const beside = new URL(name, new URL(path, ROOT)).href.slice(ROOT.href.length);
    return ![beside, `src/${name}`, `src/cli/${name}`, name].some((place) => callers.has(place));
  });
  assert(named.length > 200, `${named.length} callers are found`);
  assertEquals(wrong.map(({ path, name }) => `${path}: ${name}`), []);
});

Deno.test("tidy: every file of the core has a unit test", () => {
  const tests = new Set(TESTS.map(({ path }) => path));
  const untested = SOURCES.filter(({ path }) =>
    roomOf(path) === "core" &&
    !tests.has(path.replace("src/core/", "tests/unit/").replace(".ts", "_test.ts"))
  );
  assertEquals(untested.map(({ path }) => path), []);
});

Deno.test("tidy: a note of what is left to do names its issue", () => {
  const note = /\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\):)/;
  const wrong = SOURCES.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => note.test(line) ? [`${path}:${i + 1}`] : [])
  );
  assertEquals(wrong, []);
});

Deno.test("tidy: no file of src is out of reach", () => {
  const reached = new Set(ENTRIES);
  for (let before = 0; before < reached.size;) {
    before = reached.size;
    for (const { from, to } of IMPORTS) if (reached.has(from)) reached.add(to);
  }
  // Some modules are found by their address, to be loaded in a process of their own.
  const named = SOURCES.flatMap(({ path, text }) =>
    [...text.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)|resolve\("(\.[^"]+\.ts)"\)/g)]
      .map(([, first, second]) =>
        new URL(first ?? second ?? "", new URL(path, ROOT)).href.slice(ROOT.href.length)
      )
  );
  const lost = SOURCES.map(({ path }) => path).filter((path) =>
    !reached.has(path) && !named.includes(path) && !path.endsWith(".d.ts")
  );
  assertEquals(lost, []);
});

function find(path: string): SourceFile {
  const file = SOURCES.find((file) => file.path === path);
  assert(file, path);
  return file;
}
