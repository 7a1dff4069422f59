// That the workflows get a checkout without stand-ins that is otherwise the same.
import { assertEquals } from "@std/assert";
import { withoutLinks } from "../../.ci/real_jsr.ts";
import { readText } from "./markdown.ts";

Deno.test("without the links, deno.json is the same in every other line", async () => {
  const config = await readText("deno.json");
  const rest = config.replace(/ {2}"links": \[[^\]]*\],\n/, "");
  assertEquals(withoutLinks(config), rest);
});
