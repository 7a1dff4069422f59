// Owns: why a configuration is refused.
// Called by: the tests of the settings.
import { assert } from "@std/assert";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";

/** The error that a configuration is refused by, which is one of those that are documented. */
export function failureOf(config: unknown): RangeError | TypeError {
  try {
    resolveConfig(config as ReactoKinesixConfig);
  } catch (error) {
    assert(error instanceof RangeError || error instanceof TypeError, String(error));
    return error;
  }
  throw new Error("it was accepted");
}
