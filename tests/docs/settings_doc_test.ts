// That the settings are documented as they are.
import { assertEquals } from "@std/assert";
import { settingsDoc } from "../../.ci/settings_doc.ts";
import { readText } from "./markdown.ts";

Deno.test("docs/settings.md says what the table of settings says: `deno task docs` makes it", async () => {
  assertEquals(await readText("docs/settings.md"), settingsDoc());
});
