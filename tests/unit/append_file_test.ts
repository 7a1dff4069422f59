// Owns: lines that are appended are whole, and there, whoever else appends, and whatever was left off before.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppendFile } from "../../src/adapters/append_file.ts";
import { withFolder } from "../cli/temporary_folder.ts";

const linesOf = async (path: string): Promise<readonly string[]> =>
  (await Deno.readTextFile(path)).split("\n").slice(0, -1);

Deno.test("append file: lines come in their order, also many at once; the file is private", async () => {
  await withFolder(async (folder) => {
    const file = new AppendFile(`${folder}/f`);
    await file.prepare();
    const lines = Array.from({ length: 1_500 }, (_, i) => `line ${i}`);
    await Promise.all(lines.map((line) => file.append(line)));
    assertEquals(await linesOf(`${folder}/f`), lines);
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(`${folder}/f`)).mode ?? 0, 0o100600);
    }
  });
});

Deno.test("append file: a line that was cut off does not swallow the next one", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/f`, "whole\ncut o");
    const file = new AppendFile(`${folder}/f`);
    await file.append("next");
    await file.append("last");
    assertEquals(await linesOf(`${folder}/f`), ["whole", "cut o", "next", "last"]);
  });
});

Deno.test("append file: a file that is moved away is made again", async () => {
  await withFolder(async (folder) => {
    const file = new AppendFile(`${folder}/f`);
    await file.append("before");
    await Deno.rename(`${folder}/f`, `${folder}/f.1`);
    await file.append("after");
    assertEquals(await linesOf(`${folder}/f.1`), ["before"]);
    assertEquals(await linesOf(`${folder}/f`), ["after"]);
  });
});

Deno.test({
  name: "append file: a full disk fails the line, and the next one goes on",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await assertRejects(() => new AppendFile("/dev/full").append("x"), Error, "No space left");
    await withFolder(async (folder) => {
      await Deno.symlink("/dev/full", `${folder}/f`);
      const file = new AppendFile(`${folder}/f`);
      const [first, second] = [file.append("x"), file.append("y")];
      await assertRejects(() => first, Error, "No space left");
      await assertRejects(() => second, Error, "No space left");
      await Deno.remove(`${folder}/f`);
      await file.append("z");
      assertEquals(await linesOf(`${folder}/f`), ["z"]);
    });
  },
});

Deno.test("append file: a folder that is not there fails the line", async () => {
  await withFolder(async (folder) => {
    const file = new AppendFile(`${folder}/none/f`);
    await assertRejects(() => file.prepare(), Deno.errors.NotFound);
    await assertRejects(() => file.append("x"), Deno.errors.NotFound);
    await Deno.mkdir(`${folder}/none`);
    await file.append("x");
    assertEquals(await linesOf(`${folder}/none/f`), ["x"]);
  });
});

Deno.test("append file: several processes append to one file, and no line is cut or mixed", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/f`;
    const module = new URL("../../src/adapters/append_file.ts", import.meta.url).href;
    const code = `import { AppendFile } from ${JSON.stringify(module)};
      const file = new AppendFile(${JSON.stringify(path)});
      for (let i = 0; i < 40; i++) {
        const line = (j) => Deno.args[0].repeat(100 + 997 * i) + " " + (i * 3 + j);
        await Promise.all([0, 1, 2].map((j) => file.append(line(j))));
      }`;
    await Deno.writeTextFile(`${folder}/appender.js`, code);
    const processes = ["a", "b", "c"].map((letter) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-check", "-A", `${folder}/appender.js`, letter],
      }).output()
    );
    for (const { success, stderr } of await Promise.all(processes)) {
      assert(success, new TextDecoder().decode(stderr));
    }
    const next = new Map<string, number>();
    // An empty line is what two of them make of a line that is being written.
    for (const line of (await linesOf(path)).filter((line) => line !== "")) {
      const [, letter = "", number] = /^(a+|b+|c+) (\d+)$/.exec(line) ?? [];
      const [first = ""] = letter;
      assertEquals(Number(number), next.get(first) ?? 0, line.slice(-20));
      assertEquals(letter.length, 100 + 997 * Math.floor(Number(number) / 3));
      next.set(first, Number(number) + 1);
    }
    assertEquals([...next.values()], [120, 120, 120]);
  });
});

Deno.test("append file: whoever may not see the folder is refused before the first line", async () => {
  await withFolder(async (folder) => {
    const module = new URL("../../src/adapters/append_file.ts", import.meta.url).href;
    await Deno.writeTextFile(
      `${folder}/main.js`,
      `import { AppendFile } from ${JSON.stringify(module)};
       await new AppendFile(Deno.args[0]).prepare();`,
    );
    const allowed = [`--allow-read=${folder}/f`, `--allow-write=${folder}/f`];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", ...allowed, `${folder}/main.js`, `${folder}/f`],
    }).output();
    assertEquals(success, Deno.build.os === "windows");
    assert(new TextDecoder().decode(stderr).includes("NotCapable") || success);
  });
});
