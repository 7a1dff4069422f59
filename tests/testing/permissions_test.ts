// Owns: that a test with the kit needs no permission, and that the example of one passes.
import { assertEquals } from "@std/assert";

Deno.test("kit: the example passes without any permission", async () => {
  const root = new URL("../../", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--no-prompt", "--no-check", "examples/test_a_processor_test.ts"],
    cwd: root,
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assertEquals(code, 0, text);
});
