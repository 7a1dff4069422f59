import { assertEquals, assertStringIncludes } from "@std/assert";

Deno.test("an app that cannot go on ends the process if nobody waits for `finished`", async () => {
  const program = new URL("./dead_consumer.ts", import.meta.url).pathname;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", program],
    stdin: "null",
  }).output();
  assertEquals(code, 1);
  assertStringIncludes(new TextDecoder().decode(stderr), "WorkerReplacedError");
});
