// Settings, positions, rows: whatever is given is understood, or refused with the error that the code names.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type Item,
  MalformedRowError,
  readRow,
  rowId,
  writeFields,
} from "../../src/adapters/row_codec.ts";
import {
  compareCheckpoints,
  formatCheckpoint,
  parseCheckpoint,
} from "../../src/core/checkpoint.ts";
import { type ReactoKinesixConfig, resolveConfig, SETTINGS } from "../../src/core/config.ts";
import { parseSetting } from "../../src/core/setting.ts";
import { formatDuration, parseDuration } from "../../src/core/duration.ts";
import { parseSequenceNumber } from "../../src/local/sequence_numbers.ts";
import { parseToken } from "../../src/local/tokens.ts";
import { anyText, anyValue, magicNames, tryOut } from "./bytes.ts";

const RUNS = { numRuns: 1_500 };
/** No setting takes a longer time. */
const DAY_MS = 86_400_000;
const settingNames = fc.constantFrom(...SETTINGS.map(({ name }) => name));

Deno.test("fuzz: an object of settings is resolved completely, or refused by name", () => {
  const names = fc.oneof({ weight: 8, arbitrary: settingNames }, magicNames, anyText);
  const values = fc.oneof(anyValue, fc.double(), fc.integer({ min: 0, max: 100_000_000 }));
  const objects = fc.oneof(
    fc.array(fc.tuple(names, values), { maxLength: 4 }).map(Object.fromEntries),
    fc.constantFrom('{"__proto__": {"heartbeat": 1}}', '{"heartbeat": 1e400}').map((text) =>
      JSON.parse(text)
    ),
  );
  fc.assert(
    fc.property(objects, (config: ReactoKinesixConfig) => {
      tryOut(
        () => {
          const resolved = resolveConfig(config);
          assertEquals(Object.keys(resolved).length, SETTINGS.length);
          for (const { name } of SETTINGS) assert(resolved[name] !== undefined, name);
          assertEquals(resolveConfig(resolved), resolved);
        },
        TypeError,
        RangeError,
      );
    }),
    RUNS,
  );
});

Deno.test("fuzz: the text of a setting is a value that the setting takes, or refused", () => {
  const texts = fc.oneof(
    anyText,
    fc.tuple(fc.double().map(String), fc.constantFrom("", "ms", "s", "m", "h", "d", "y", " ")).map((
      parts,
    ) => parts.join("")),
  );
  fc.assert(
    fc.property(fc.constantFrom(...SETTINGS), texts, (setting, text) => {
      tryOut(
        () => {
          const value = parseSetting(setting, text);
          const own = { [setting.name]: value } as ReactoKinesixConfig;
          // Alone it may contradict the default of another one, which is a RangeError too.
          assertEquals(resolveConfig(own)[setting.name], value as never);
        },
        TypeError,
        RangeError,
      );
      const ms = parseDuration(text);
      if (ms !== undefined && ms <= DAY_MS) assertEquals(parseDuration(formatDuration(ms)), ms);
    }),
    RUNS,
  );
});

Deno.test("fuzz: a checkpoint is read or refused, and those that are read have one order", () => {
  const texts = fc.oneof(
    anyText,
    fc.bigInt({ min: 0n, max: 10n ** 60n }).map(String),
    fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 9 })).map(([a, b]) => `${a}:${b}`),
    fc.date({ noInvalidDate: false }).map((date) => `AT_TIMESTAMP:${date.getTime()}`),
    fc.date({ noInvalidDate: true }).map((date) => `AT_TIMESTAMP:${date.toISOString()}`),
    fc.constantFrom("TRIM_HORIZON", "SHARD_END", "AT_TIMESTAMP:1", "AT_TIMESTAMP:+275760-09-13"),
  );
  fc.assert(
    fc.property(texts, texts, texts, (...given) => {
      tryOut(() => {
        const [a, b, c] = given.map(parseCheckpoint);
        if (a === undefined || b === undefined || c === undefined) return;
        assertEquals(parseCheckpoint(formatCheckpoint(a)), a);
        assertEquals(
          Math.sign(compareCheckpoints(a, b)),
          -Math.sign(compareCheckpoints(b, a)) || 0,
        );
        if (compareCheckpoints(a, b) <= 0 && compareCheckpoints(b, c) <= 0) {
          assert(compareCheckpoints(a, c) <= 0);
        }
      }, SyntaxError);
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("fuzz: the numbers and tokens of the local Kinesis are read, or none", () => {
  const numbers = fc.oneof(anyText, fc.bigInt({ min: 10n ** 55n, max: 10n ** 56n }).map(String));
  fc.assert(
    fc.property(numbers, anyText, fc.json(), (number, text, json) => {
      parseSequenceNumber(number);
      for (const token of [text, btoa(encodeURIComponent(json))]) {
        const parts = parseToken("iterator", token);
        assert(parts === undefined || Array.isArray(parts));
      }
    }),
    RUNS,
  );
});

/** A good row with everything that an item can have. */
const GOOD = {
  ...writeFields("shard", {
    owner: "anna",
    holder: "1",
    previousOwner: "bert",
    term: 3,
    checkpoint: { kind: "sequence", sequenceNumber: "49" },
    checkpointAt: 1,
    millisBehindLatest: 2,
    parents: ["a", "b"],
    hashKeyRange: { start: "0", end: "9" },
    stoppedBy: ["c"],
    handover: { to: "d", id: "e" },
  }),
  ...writeFields("worker", {
    incarnation: "1",
    beat: 1,
    beatAt: 1,
    heartbeatTimeout: 1,
    attention: "x",
    shards: 1,
    isDraining: false,
    version: "1",
  }),
  ...writeFields("stream", { startAt: { kind: "timestamp", timestamp: 1 } }),
} as Item;

Deno.test("fuzz: an item of which any attributes are hostile is a row, or malformed", () => {
  const tags = fc.constantFrom("S", "N", "L", "M", "SS", "NS", "B", "BOOL", "NULL", "$unknown");
  const values = fc.oneof(
    anyValue,
    fc.tuple(tags, anyValue).map(([tag, value]) => ({ [tag]: value })),
    fc.tuple(tags, tags, anyText).map(([one, other, text]) => ({ [one]: [{ [other]: text }] })),
    fc.constantFrom({ S: "SHARD_END", N: "1" }, { N: "1".repeat(400) }, { L: { length: 1e9 } }),
  );
  const attributes = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...Object.keys(GOOD)) },
    magicNames,
  );
  const changes = fc.array(fc.tuple(attributes, values), { maxLength: 3 });
  const kinds = fc.constantFrom("shard" as const, "worker" as const, "stream" as const);
  fc.assert(
    fc.property(kinds, changes, fc.array(attributes), (kind, changes, missing) => {
      const item = Object.fromEntries([...Object.entries(GOOD), ...changes]) as Item;
      if (changes.length === 0) { for (const name of missing) delete item[name]; }
      tryOut(() => {
        const row = readRow(kind, "id", item);
        // Whatever is read can be written, and read again as the same.
        const { kind: _kind, id: _id, ...fields } = row;
        const written = Object.entries(writeFields(kind, fields)).filter(([, value]) => value);
        assertEquals(readRow(kind, "id", Object.fromEntries(written) as Item), row);
      }, MalformedRowError);
    }),
    { numRuns: 4_000 },
  );
});

Deno.test("fuzz: a range key names a row of its kind, or none", () => {
  const keys = fc.oneof(
    anyText,
    fc.tuple(fc.constantFrom("shard/", "worker/", "stream", "stream/", "shard"), anyText).map((
      parts,
    ) => parts.join("")),
  );
  fc.assert(
    fc.property(fc.constantFrom("shard", "worker", "stream"), keys, (kind, key) => {
      tryOut(() => rowId(kind, "orders", key), MalformedRowError);
    }),
    RUNS,
  );
});
