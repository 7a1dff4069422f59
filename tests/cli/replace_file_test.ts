// Owns: that a file is replaced as a whole, where a link leads, or not at all.
import { assertEquals, assertRejects } from "@std/assert";
import { replaceFile } from "../../src/cli/load_processor/replace_file.ts";
import { withFolder } from "./temporary_folder.ts";

const BYTES = new TextEncoder().encode("new");

async function names(folder: string): Promise<readonly string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}

Deno.test("replace: whoever reads the old content meanwhile reads all of it", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/f`;
    await Deno.writeTextFile(path, "the old content");
    using reader = await Deno.open(path);
    await replaceFile(path, BYTES, 0o600);
    const old = await new Response(reader.readable).text();
    assertEquals([old, await Deno.readTextFile(path)], ["the old content", "new"]);
    assertEquals(await names(folder), ["f"]);
  });
});

Deno.test("replace: a link stays one, and a new file is made", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/there`);
    await Deno.writeTextFile(`${folder}/there/f`, "old");
    await Deno.symlink("there/f", `${folder}/link`);
    await replaceFile(`${folder}/link`, BYTES, 0o644);
    assertEquals((await Deno.lstat(`${folder}/link`)).isSymlink, true);
    assertEquals(await Deno.readTextFile(`${folder}/there/f`), "new");
    await replaceFile(`${folder}/g`, BYTES, 0o644);
    assertEquals(await names(folder), ["g", "link", "there"]);
  });
});

Deno.test("replace: what cannot be replaced stays, and nothing is left beside it", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/f`);
    await assertRejects(() => replaceFile(`${folder}/f`, BYTES, 0o644));
    assertEquals(await names(folder), ["f"]);
    await assertRejects(() => replaceFile(`${folder}/no/f`, BYTES, 0o644), Deno.errors.NotFound);
  });
});
