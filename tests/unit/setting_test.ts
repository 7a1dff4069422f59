// Owns: what one setting accepts as a text.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { SETTINGS } from "../../src/core/config.ts";
import { formatDuration } from "../../src/core/duration.ts";
import { describeDefault, describeRange, parseSetting } from "../../src/core/setting.ts";

Deno.test("setting: a duration as people write it comes out as it went in", () => {
  for (const setting of SETTINGS) {
    const { type } = setting;
    if (type.kind !== "duration") continue;
    for (const ms of [type.min, type.max, Number(setting.defaultValue)]) {
      assertEquals(parseSetting(setting, formatDuration(ms)), ms);
      assertEquals(parseSetting(setting, String(ms)), ms);
    }
    assertEquals(parseSetting(setting, describeDefault(setting)), setting.defaultValue);
  }
});

Deno.test("setting: any text for any setting is read or refused by name", () => {
  fc.assert(
    fc.property(fc.constantFrom(...SETTINGS), fc.string(), (setting, text) => {
      try {
        parseSetting(setting, text);
      } catch (error) {
        assert(error instanceof TypeError || error instanceof RangeError);
        assertMatch(error.message, new RegExp(`"${setting.name}"`));
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("setting: the texts of counts, booleans and choices", () => {
  const parse = (name: string, text: string): unknown => {
    const setting = SETTINGS.find((setting) => setting.name === name);
    assert(setting);
    return parseSetting(setting, text);
  };
  assertEquals(parse("maxBatchSize", "500"), 500);
  assertEquals(parse("createTable", "false"), false);
  assertEquals(parse("checkpointMode", "manual"), "manual");
  assertEquals(parse("initialPosition", "LATEST"), "LATEST");
  for (const text of ["1e3", "0x10", "-1", "", "1.5"]) {
    assertThrows(() => parse("maxBatchSize", text), Error, '"maxBatchSize"');
  }
  assertThrows(() => parse("createTable", "yes"), TypeError, '"createTable"');
});

Deno.test("setting: every setting says what it accepts", () => {
  for (const setting of SETTINGS) {
    assert(describeRange(setting).length > 3, setting.name);
    assert(setting.doc.length > 10, setting.name);
  }
});
