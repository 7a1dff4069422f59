// Owns: what goes over to another thread comes out as it went in: records, and whatever was thrown.
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { packError, packErrors, unpackError } from "../../src/sandbox/packed_error.ts";
import { encodePieces, MARKER_BYTES, PieceReader } from "../../src/sandbox/frames.ts";
import { packRecords, unpackRecords } from "../../src/sandbox/packing.ts";

const SOURCE = fc.record({
  sequenceNumber: fc.stringMatching(/^\d{1,128}$/),
  // Half a surrogate pair is no valid text, and yet a string.
  partitionKey: fc.string({
    unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
  }),
  data: fc.uint8Array({ maxLength: 50 }),
  approximateArrivalTimestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
  aggregated: fc.option(
    fc.record({ subSequenceNumber: fc.nat(), isLastOfAggregate: fc.boolean() }),
  ),
}).map(({ aggregated, data, ...rest }) => ({ ...rest, data: new Uint8Array(data), ...aggregated }));

Deno.test("packing: records come out as they went in, each with a buffer of its own", () => {
  fc.assert(fc.property(fc.array(SOURCE), (sources) => {
    const records = sources.map((source) => new DeliveredRecord("shard", source));
    const unpacked = [...unpackRecords(packRecords(records))];
    assertEquals(unpacked, sources);
    for (const { data } of unpacked) assertEquals(data.buffer.byteLength, data.byteLength);
  }));
});

Deno.test("packing: a record of 10 MiB and a key of 256 characters", () => {
  const data = new Uint8Array(10 * 1_048_576).fill(7);
  const source = {
    sequenceNumber: "1".repeat(128),
    partitionKey: "k".repeat(256),
    data,
    approximateArrivalTimestamp: 1,
  };
  const [unpacked] = unpackRecords(packRecords([new DeliveredRecord("shard", source)]));
  assertEquals(unpacked?.partitionKey, source.partitionKey);
  assertEquals(unpacked?.data.byteLength, data.byteLength);
});

Deno.test("packing: an error keeps its class, name, message, stack and cause", () => {
  const error = new RangeError("far", { cause: new Error("deep", { cause: "text" }) });
  const unpacked = unpackError(structuredClone(packError(error)));
  assertInstanceOf(unpacked, RangeError);
  assertEquals([unpacked.message, unpacked.stack], [error.message, error.stack]);
  assertInstanceOf(unpacked.cause, Error);
  assertEquals([unpacked.cause.message, unpacked.cause.cause], ["deep", "text"]);
  class Own extends Error {
    override name = "Own";
  }
  const own = unpackError(structuredClone(packError(new Own("mine"))));
  assertInstanceOf(own, Error);
  assertEquals([own.name, own.message], ["Own", "mine"]);
});

Deno.test("packing: whatever is thrown, what is sent of it is small and can be sent", () => {
  const ring = new Error("ring");
  ring.cause = ring;
  const long = new Error("m".repeat(1_000_000), { cause: "c".repeat(1_000_000) });
  long.stack = "s".repeat(1_000_000);
  const refusing = new Proxy({}, {
    get() {
      throw new Error("get");
    },
    getPrototypeOf() {
      throw new Error("prototype");
    },
  });
  for (const thrown of [ring, long, refusing, Symbol("s"), () => {}, {}, Object.create(null)]) {
    const packed = structuredClone(packError(thrown));
    assert(JSON.stringify(packed).length < 200_000);
    assertInstanceOf(unpackError(packed), Error);
  }
  for (const simple of ["text", 5, 5n, null, undefined, true, NaN]) {
    assertEquals(unpackError(structuredClone(packError(simple))), simple);
  }
});

Deno.test("packing: what a whole batch failed with fits into one message, however long the errors are", () => {
  const usual = Array.from({ length: 10_000 }, (_, i) => new Error(`record ${i} failed`));
  const long = Array.from({ length: 10_000 }, () => {
    const text = "\u{1f4a5}".repeat(10_000);
    return new Error(text, { cause: new Error(text, { cause: text }) });
  });
  const marker = new Uint8Array(MARKER_BYTES).fill(255);
  for (const errors of [usual, long]) {
    const failed = packErrors(errors).map((error, index) => ({ index, error, kept: index }));
    const reader = new PieceReader(marker);
    const outputs = [...encodePieces({ kind: "reply", id: 1, failed }, marker)]
      .flatMap((piece) => [...reader.push(piece)]);
    assertEquals(outputs.length, 1);
  }
  const [first, last] = [packErrors(usual).at(0), packErrors(usual).at(-1)];
  assertEquals(unpackError(first ?? { value: "" }), usual[0]);
  const cutShort = unpackError(last ?? { value: "" });
  assertInstanceOf(cutShort, Error);
  assertEquals([cutShort.name, cutShort.message], ["Error", "record 9999 failed"]);
});
