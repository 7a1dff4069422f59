/**
 * What ships the executable: the examples for systemd and Docker, the release, and what its guide says of all that.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { compile, permissionFlags } from "../../.ci/compile.ts";
import { readCall } from "../../src/cli/main.ts";
import { fakeTerminal, works } from "../cli/cli_testing.ts";

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
}

/** Fails if a flag or a value is wrong. */
async function assertCall(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const call = await readCall(args, fakeTerminal({ env }));
  assertEquals(call.kind, "command");
}

Deno.test("the guide says what each permission of the executable is for", async () => {
  const guide = await read("docs/shipping.md");
  for (const flag of permissionFlags("x86_64-unknown-linux-gnu")) {
    assert(guide.includes(`\`${flag}\``), flag);
  }
});

Deno.test("permissions that are given are added to those that are there", () => {
  const runOf = (target: string, ...more: string[]) =>
    permissionFlags(target, more).filter((flag) => flag.startsWith("--allow-run"));
  assertEquals(runOf("aarch64-apple-darwin"), ["--allow-run=kinesix"]);
  const linux = "x86_64-unknown-linux-gnu";
  assertEquals(runOf(linux, "--allow-run=/bin/sh"), ["--allow-run=/proc/self/exe,/bin/sh"]);
  assertEquals(runOf(linux, "--allow-run", "--allow-run=a"), ["--allow-run"]);
});

Deno.test("what cannot be compiled with is refused by name", async () => {
  await assertRejects(() => compile(["--targte", "x"]), Error, 'Cannot compile with "--targte"');
});

Deno.test("the example image does not run as root, and its command is right", async () => {
  const instructions = (await read("examples/Dockerfile")).split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => /^([A-Z]+) (.+)$/.exec(line)?.slice(1) ?? []);
  const known = ["FROM", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD"];
  for (const [name = ""] of instructions) assert(known.includes(name), name);
  const value = (name: string) => instructions.find(([first]) => first === name)?.[1] ?? "";
  assertMatch(value("FROM"), /^gcr\.io\/distroless\/cc-debian\d+:nonroot$/);
  assertMatch(value("USER"), /^[1-9]\d*:[1-9]\d*$/);
  assertEquals(JSON.parse(value("ENTRYPOINT")), ["/usr/local/bin/kinesix"]);
  await assertCall(JSON.parse(value("CMD")));
});

Deno.test("the example service is called in the right way", async () => {
  const unit = await read("examples/kinesix.service");
  const [, command = ""] = /^ExecStart=\/usr\/local\/bin\/kinesix (.+)$/m.exec(unit) ?? [];
  const env = Object.fromEntries(
    [...unit.matchAll(/^# {3}(KINESIX_[A-Z_]+)=(.+)$/gm)].map(([, name, value]) => [name, value]),
  );
  await assertCall(command.replace("%H", "host").split(" "), env);
});

Deno.test({
  name: "systemd understands the example service, and finds it well locked up",
  ignore: !works("systemd-analyze", "security", "--help"),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "kinesix-unit-" });
    try {
      const unit = (await read("examples/kinesix.service"))
        .replace("/usr/local/bin/kinesix", Deno.execPath());
      await Deno.writeTextFile(`${folder}/kinesix.service`, unit);
      const checks = [["verify", "--man=no"], ["security", "--offline=yes", "--threshold=15"]];
      for (const check of checks) {
        const { success, stdout, stderr } = await new Deno.Command("systemd-analyze", {
          args: [...check, "--no-pager", `${folder}/kinesix.service`],
        }).output();
        const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
        assert(success, said);
        if (check[0] === "verify") assertEquals(said.trim(), "");
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("the workflows use pinned actions, and may only read unless they say so", async () => {
  for (const name of ["ci.yml", "release.yml"]) {
    const workflow = await read(`.github/workflows/${name}`);
    const actions = [...workflow.matchAll(/uses: (.+)/g)].map(([, action = ""]) => action);
    assert(actions.length >= 4);
    for (const action of actions) assertMatch(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v[\d.]+$/);
    assertMatch(workflow, /^permissions:\n {2}contents: read$/m);
  }
});

Deno.test("the release writes no more than it needs to, and has an executable for each platform", async () => {
  const workflow = await read(".github/workflows/release.yml");
  // To publish on jsr.io takes an identity; the release itself writes, and proves where its files were made.
  const writes = [...workflow.matchAll(/^ +([a-z-]+): write\b/gm)].map(([, right]) => right);
  assertEquals(writes, ["id-token", "attestations", "contents", "id-token"]);
  const guide = await read("docs/shipping.md");
  const names = [...workflow.matchAll(/^ +[\w-]+-(?:linux|apple|windows)[\w-]* (kinesix-\S+)$/gm)]
    .map(([, name = ""]) => name);
  assertEquals(names.length, 5);
  for (const name of names) assert(guide.includes(name), name);
});
