/**
 * Owns: where the shell code of a document is run: a folder, and the programs that are in it.
 * Must not: know what the code of which document is, or assert.
 * Called by: the tests of the documents.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import packageFile from "../../deno.json" with { type: "json" };
import { CliProcess } from "../cli/cli_testing.ts";

/** The checkout. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** `deno`, which has to ask nobody elsewhere: what would come from jsr.io is the checkout. */
const DENO = `#!/bin/sh
fail() { echo "$*" >&2; exit 1; }
case "$1" in
  task)
    # The same task with the same arguments, in whichever document, is run once.
    mkdir "$DONE/$(echo "$*" | tr -c 'a-zA-Z0-9-' _)" 2> /dev/null || exit 0
    cd "${ROOT}" || exit ;;
  run) cd "${ROOT}" || exit ;;
  add) export JSR_URL=https://example.com/jsr/ DENO_DIR="$STAGE/deno" ;;
  install)
    name= entry= permissions=
    while shift && [ $# -gt 0 ]; do
      case "$1" in
        --global) ;;
        --allow-*) permissions="$permissions $1" ;;
        --name) name=$2; shift ;;
        jsr:@reacto/kinesix/*) entry=\${1#jsr:@reacto/kinesix/} ;;
        *) fail "install: $1" ;;
      esac
    done
    case "$entry" in
${
  Object.entries(packageFile.exports).map(([name, path]) =>
    `      ${name.replace("./", "")}) entry=${path} ;;`
  ).join("\n")
}
      *) fail "the package has no $entry" ;;
    esac
    cat > "$STAGE/bin/$name" <<END
#!/bin/sh
exec "${Deno.execPath()}" run --quiet --no-check --no-prompt $permissions $MORE_PERMISSIONS "${ROOT}$entry" "\\$@"
END
    exec chmod +x "$STAGE/bin/$name" ;;
esac
exec "${Deno.execPath()}" "$@"
`;

/** The programs of other people. */
const PROGRAMS: Readonly<Record<string, string>> = {
  deno: DENO,
  npx: `#!/bin/sh
[ "$1 $2" = "-y deno" ] && shift 2 && exec deno "$@"
`,
  sudo: `#!/bin/sh
exec "$@"
`,
  aws: `#!/bin/sh
cat "$STAGE/aws.json"
`,
  // What puts Deno's runtime around the bundle, which CI does besides.
  embed: `#!/bin/sh
for last; do :; done
[ "$1" = compile ] && [ -s "$last" ]
`,
};

/** What all code may use. */
const PRELUDE = `
# Runs what has no end until it has shown lines of all patterns, and ends it as Ctrl-C does.
interrupted() {
  local shown=() out pid i
  while [[ $1 != -- ]]; do shown+=("$1"); shift; done
  shift
  out=$(mktemp "$STAGE/out.XXXXXX")
  "$@" > "$out" 2>&1 &
  pid=$!
  for pattern in "\${shown[@]}"; do
    for ((i = 0; i < 600; i++)); do
      ! grep -Eq "$pattern" "$out" || continue 2
      kill -0 $pid 2> /dev/null || break
      sleep 0.1
    done
    echo "$* did not show $pattern" >&2
    cat "$out" >&2
    kill -KILL $pid
    return 1
  done
  kill -INT $pid
  # Deno's runner of tasks may end before its task does.
  wait $pid || [[ $? = 130 && "$1 $2" = "deno task" ]] ||
    { echo "$* did not stop cleanly" >&2; cat "$out" >&2; return 1; }
  cat "$out"
}
fails() { ! "$@"; }
`;

/** How a script is started, if not in the usual way. */
export interface StartOptions {
  /** @default {the folder of the stage} */
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What came of a script. */
export interface Played {
  readonly code: number;
  readonly output: string;
}

/** A folder; a script finds in its environment what it needs. */
export class Stage implements AsyncDisposable {
  readonly folder: string;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.folder = folder;
    this.#env = env;
  }

  static async build(env: Readonly<Record<string, string>> = {}): Promise<Stage> {
    const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "kinesix-guides-" }));
    await Deno.mkdir(`${folder}/bin`);
    for (const [name, text] of Object.entries(PROGRAMS)) {
      await Deno.writeTextFile(`${folder}/bin/${name}`, text, { mode: 0o755 });
    }
    return new Stage(folder, {
      STAGE: folder,
      DONE: folder,
      PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
      DENO_NO_UPDATE_CHECK: "1",
      DENO_COMPILE: `${folder}/bin/embed`,
      // The sandbox starts the program of the worker.
      MORE_PERMISSIONS: `--allow-run=${Deno.execPath()}`,
      ...env,
    });
  }

  /** Has bash run a script, up to the first command that fails; waits for what it leaves in the background. */
  start(script: string, { cwd = this.folder, env = {} }: StartOptions = {}): CliProcess {
    const wait = `for job in $(jobs -p); do wait "$job"; done`;
    const args = ["-euo", "pipefail", "-c", `${PRELUDE}\n${script}\n${wait}`];
    const program = { command: "bash", args };
    return new CliProcess([], { program, cwd, env: { ...this.#env, ...env } });
  }

  /** The same, until it has ended. */
  async play(script: string, options: StartOptions = {}): Promise<Played> {
    await using process = this.start(script, options);
    const code = await process.ended();
    return { code, output: [...process.stdout, ...process.stderr].join("\n") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
