// Owns: what the table of settings accepts and refuses.
import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import {
  type ReactoKinesixConfig,
  resolveConfig,
  SETTINGS,
  startingCheckpoint,
} from "../../src/core/config.ts";
import type { Setting } from "../../src/core/setting.ts";
import { failureOf } from "./config_testing.ts";

const NUMERIC = SETTINGS.flatMap((setting) =>
  setting.type.kind === "duration" || setting.type.kind === "count"
    ? [{ setting, type: setting.type }]
    : []
);

/** The range of a duration or a count. */
interface Range {
  readonly setting: Setting<keyof ReactoKinesixConfig>;
  readonly type: { readonly kind: string; readonly min: number; readonly max: number };
}

/** Settings under which `changed` contradicts nothing. */
function around(name: string, value: unknown): ReactoKinesixConfig {
  const wide = { heartbeat: 100, heartbeatTimeout: 200, handoverRequestExpiry: 86_400_000 };
  return {
    ...wide,
    ...(name === "heartbeat" ? { heartbeatTimeout: 43_200_000 } : {}),
    checkPendingHandoverRequestFrequency: 100,
    [name]: value,
  };
}

Deno.test("config: without settings, every default holds", () => {
  const resolved = resolveConfig();
  for (const { name, defaultValue } of SETTINGS) assertEquals(resolved[name], defaultValue, name);
  assertEquals(resolved.heartbeat, 30_000);
  assertEquals(resolved.heartbeatTimeout, 180_000);
  assertEquals(resolveConfig({}), resolved);
  assertEquals(Object.keys(resolved).length, SETTINGS.length);
});

Deno.test("config: every number in its range is taken, every other is refused by name", () => {
  const cases = fc.constantFrom<Range>(...NUMERIC);
  const numbers = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(NaN, Infinity, -0, 0));
  const isContradiction = (name: string, value: number): boolean =>
    (name === "heartbeatTimeout" || name === "checkPendingHandoverRequestFrequency") &&
    value > 86_399_800;
  fc.assert(
    fc.property(cases, numbers, ({ setting: { name }, type }, value) => {
      const isWhole = type.kind === "duration" || Number.isInteger(value);
      const isInRange = value >= type.min && value <= type.max && isWhole;
      if (name === "handoverRequestExpiry" && value < 300) return;
      if (isContradiction(name, value)) return;
      if (isInRange) assertEquals(resolveConfig(around(name, value))[name], value);
      else assertMatch(failureOf(around(name, value)).message, new RegExp(`"${name}"`));
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("config: the ends of each range are in it, and one step beyond is not", () => {
  for (const { setting: { name }, type } of NUMERIC) {
    for (const beyond of [type.min - 1, type.max + 1]) {
      assert(failureOf(around(name, beyond)) instanceof RangeError, `${name} ${beyond}`);
    }
    const isBound = name === "handoverRequestExpiry" || name === "heartbeatTimeout";
    if (!isBound) assertEquals(resolveConfig(around(name, type.min))[name], type.min);
    if (type.max < 86_400_000) assertEquals(resolveConfig(around(name, type.max))[name], type.max);
  }
});

Deno.test("config: a value of the wrong type is refused by name, whatever it is", () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const odd = [null, [], {}, () => 1, Symbol("s"), 10n, circular, new Map(), "x".repeat(1_000)];
  for (const { name, type } of SETTINGS) {
    for (const value of type.kind === "text" ? odd.slice(0, -1) : odd) {
      const { message } = failureOf({ [name]: value });
      assertMatch(message, new RegExp(`^Cannot use setting "${name}"`));
      assert(message.length < 400, `${message.length} characters`);
    }
  }
});

Deno.test("config: a string for a number, and a number for a string, are refused", () => {
  assert(failureOf({ heartbeat: "30s" }) instanceof TypeError);
  assert(failureOf({ maxBatchSize: "10" }) instanceof TypeError);
  assert(failureOf({ createTable: "true" }) instanceof TypeError);
  assert(failureOf({ checkpointMode: 1 }) instanceof TypeError);
  assert(failureOf({ checkpointMode: "automatic" }) instanceof RangeError);
  assert(failureOf({ dynamoDBTableSuffix: "" }) instanceof RangeError);
  assert(failureOf({ dynamoDBTableSuffix: "a b" }) instanceof RangeError);
  assert(failureOf({ dynamoDBTableSuffix: "a".repeat(201) }) instanceof RangeError);
});

Deno.test("config: a refusal names the setting, its range and what was given", () => {
  const { message } = failureOf({ heartbeat: 99 });
  assertEquals(
    message,
    'Cannot use setting "heartbeat": it must be 100ms to 1h, in milliseconds in code; given 99',
  );
});

Deno.test("config: an unknown name is refused", () => {
  for (const name of ["heartBeat", "toString", "__proto__x", "constructor"]) {
    const error = failureOf({ [name]: 1 });
    assert(error instanceof TypeError);
    assertMatch(error.message, new RegExp(`"${name}".*heartbeatTimeout`));
  }
});

Deno.test("config: names and flags are unique, and flags are plain", () => {
  assertEquals(new Set(SETTINGS.map(({ name }) => name)).size, SETTINGS.length);
  assertEquals(new Set(SETTINGS.map(({ flag }) => flag)).size, SETTINGS.length);
  for (const { flag } of SETTINGS) assertMatch(flag, /^[a-z]+(-[a-z]+)*$/);
  const flagOf = (name: string): string | undefined =>
    SETTINGS.find((setting) => setting.name === name)?.flag;
  assertEquals(flagOf("heartbeatTimeout"), "heartbeat-timeout");
  assertEquals(flagOf("dynamoDBReadThroughput"), "dynamodb-read-throughput");
  assertEquals(flagOf("maxDynamoDBRetries"), "max-dynamodb-retries");
});

Deno.test("config: the initial position is a word or a time, and a typo is neither", () => {
  const time = Date.UTC(2026, 0, 2, 3, 4, 5);
  const positionOf = (given: unknown): unknown =>
    resolveConfig({ initialPosition: given } as ReactoKinesixConfig).initialPosition;
  assertEquals(positionOf("TRIM_HORIZON"), "TRIM_HORIZON");
  assertEquals(positionOf("LATEST"), "LATEST");
  assertEquals(positionOf(time), time);
  assertEquals(positionOf(new Date(time)), time);
  assertEquals(positionOf("2026-01-02T03:04:05Z"), time);
  assertEquals(positionOf("2026-01-02T04:04:05+01:00"), time);
  assertEquals(positionOf("2026-01-02"), Date.UTC(2026, 0, 2));
  for (const given of ["latest", "LATEST-1", "LATEST 3", "foo 1", "", "tomorrow", "1"]) {
    assert(failureOf({ initialPosition: given }) instanceof RangeError, given);
  }
  for (const given of [new Date(NaN), -1, NaN, Infinity, 1e18]) {
    assert(failureOf({ initialPosition: given }) instanceof RangeError);
  }
});

Deno.test("config: LATEST begins at the time of the start, a time at itself", () => {
  assertEquals(startingCheckpoint("TRIM_HORIZON", 7), { kind: "trimHorizon" });
  assertEquals(startingCheckpoint("LATEST", 7), { kind: "timestamp", timestamp: 7 });
  assertEquals(startingCheckpoint(3, 7), { kind: "timestamp", timestamp: 3 });
});
