// Owns: aggregates of the Kinesis Producer Library give the records that were packed, and no bytes whatever do harm.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { hash } from "node:crypto";
import { isLikeAggregate, readAggregate, type UserRecord } from "../../src/core/deaggregate.ts";
import { aggregate, decoded, type Packed, sealed } from "../kpl.ts";

const BYTES = fc.uint8Array({ maxLength: 40 });
const PACKED: fc.Arbitrary<Packed> = fc.record({
  partitionKey: fc.oneof(fc.constantFrom("a", "b", "\ufeffc"), fc.string({ unit: "grapheme" })),
  explicitHashKey: fc.option(fc.constantFrom("0", "5", String(2n ** 128n - 1n)), {
    nil: undefined,
  }),
  data: BYTES,
});

function md5(bytes: Uint8Array): string {
  return hash("md5", bytes, "hex");
}

function read(data: Uint8Array<ArrayBuffer>, first = 0): readonly UserRecord[] | string {
  const reading = readAggregate(data, md5);
  if (reading.kind === "malformed") return reading.reason;
  return [...reading.aggregate.recordsFrom(first)];
}

/** A field of a message: a tag, and what follows. */
function field(tag: number, bytes: readonly number[]): readonly number[] {
  return [tag, bytes.length, ...bytes];
}

function malformed(...message: readonly number[]): string {
  const result = read(sealed(Uint8Array.from(message)));
  assert(typeof result === "string", "it was taken for an aggregate");
  return result;
}

Deno.test("deaggregate: whatever is packed comes out, from any place on, in its order, with its keys", () => {
  fc.assert(fc.property(fc.array(PACKED, { minLength: 1 }), fc.nat(), (packed, first) => {
    const data = aggregate(packed);
    assert(isLikeAggregate(data));
    assertEquals(read(data), packed.map(plain));
    assertEquals(read(data, first), packed.slice(first).map(plain));
    const reading = readAggregate(data, md5);
    assertEquals(reading.kind === "aggregate" && reading.aggregate.size, packed.length);
  }));
});

/** With every field, and bytes of no special kind. */
function plain({ partitionKey, explicitHashKey, data }: Packed): UserRecord {
  return { partitionKey, explicitHashKey, data: new Uint8Array(data) };
}

Deno.test("deaggregate: what aws-kinesis-agg 4.2.8 made of four records", () => {
  const made = Uint8Array.fromHex(
    "f3899ac20a0a637573746f6d65722d310a0a637573746f6d65722d320a036bc3b6122731373031343131383334" +
      "363034363932333137333136383733303337313538383431303537323812263334303238323336363932303933" +
      "3834363334363333373436303734333137363832313134351a0908001a0566697273741a09080110001a0300ff" +
      "071a08080010011a02c3a41a0408021a00bf6258ae519bcc19a4b043002132cb53",
  );
  const records = read(made);
  assert(typeof records === "object");
  assertEquals(
    records.map(({ partitionKey, explicitHashKey, data }) => [
      partitionKey,
      explicitHashKey,
      data.toHex(),
    ]),
    [
      ["customer-1", undefined, "6669727374"],
      ["customer-2", "170141183460469231731687303715884105728", "00ff07"],
      ["customer-1", "34028236692093846346337460743176821145", "c3a4"],
      ["kö", undefined, ""],
    ],
  );
});

Deno.test("deaggregate: it holds a view of the payload, and copies nothing", () => {
  const data = aggregate([{ partitionKey: "k", data: Uint8Array.of(1, 2, 3) }]);
  const [record] = read(data);
  assert(typeof record === "object");
  assertEquals([record.data.buffer === data.buffer, record.data.byteLength], [true, 3]);
});

Deno.test("deaggregate: the tables may come after the records, and what is not known is passed over", () => {
  const record = field(0x1a, [0x08, 1, ...field(0x1a, [7]), ...field(0x22, field(0x0a, [65]))]);
  const unknown = [
    ...[0x20, 0xff, 0x01], // number 4: a varint
    ...[0x29, 1, 2, 3, 4, 5, 6, 7, 8], // number 5: 64 bits
    ...field(0x32, [1, 2, 3]), // number 6: bytes
    ...[0x3d, 1, 2, 3, 4], // number 7: 32 bits
  ];
  const message = [...record, ...unknown, ...field(0x0a, [65]), ...field(0x0a, [66])];
  assertEquals(read(sealed(Uint8Array.from(message))), [
    { partitionKey: "B", explicitHashKey: undefined, data: Uint8Array.of(7) },
  ]);
});

Deno.test("deaggregate: of a field that comes twice, the last one counts", () => {
  const record = field(0x1a, [0x08, 0, ...field(0x1a, [7]), 0x08, 1, ...field(0x1a, [8])]);
  const message = [...field(0x0a, [65]), ...field(0x0a, [66]), ...record];
  assertEquals(read(sealed(Uint8Array.from(message))), [
    { partitionKey: "B", explicitHashKey: undefined, data: Uint8Array.of(8) },
  ]);
});

Deno.test("deaggregate: a key that is no UTF-8 is read as far as it can be, as by the KCL", () => {
  const message = [...field(0x0a, [65, 0xff]), ...field(0x1a, [0x08, 0, 0x1a, 0])];
  const [record] = read(sealed(Uint8Array.from(message)));
  assert(typeof record === "object");
  assertEquals(record.partitionKey, "A\ufffd");
});

Deno.test("deaggregate: what is not as it must be is named", () => {
  const key = field(0x0a, [65]);
  const record = field(0x1a, [0x08, 0, 0x1a, 0]);
  const cases: readonly (readonly [string, readonly number[]])[] = [
    ["it holds no record", []],
    ["it holds no record", key],
    ["a record names a key that is not in the table", record],
    ["a record names a key that is not in the table", [...key, ...field(0x1a, [8, 1, 0x1a, 0])]],
    ["a record names a key that is not in the table", [
      ...key,
      ...field(0x1a, [8, 0, 0x10, 0, 0x1a, 0]),
    ]],
    ["a record has no partition key", [...key, ...field(0x1a, [0x1a, 0])]],
    ["a record has no data", [...key, ...field(0x1a, [8, 0])]],
    ["a part of a record is longer than the record", [...key, 0x1a, 4, 8, 0, 0x1a, 1, 0, 0]],
    ["it is cut off", [...key, 0x1a]],
    ["it is cut off", [...key, 0x1a, 5, 8, 0]],
    ["it is cut off", [0x0a, 0x80]],
    ["it is cut off", [0x29, 1, 2]],
    ["a number has more than 10 bytes", Array(11).fill(0xff)],
    ["a field has no number that may be", [0, 0]],
    ["a field has no number that may be", [0x80, 0x80, 0x80, 0x80, 0x10, 0]],
    ["a field is of the unknown type 3", [0x23]],
    ["a field is of the unknown type 7", [0x27]],
  ];
  for (const [reason, message] of cases) assertEquals(malformed(...message), reason);
});

Deno.test("deaggregate: a checksum of other bytes, and too few bytes for one", () => {
  const data = aggregate([{ partitionKey: "k", data: Uint8Array.of(1, 2, 3) }]);
  for (let at = 4; at < data.length; at++) {
    const other = data.with(at, (data[at] ?? 0) ^ 1);
    assertEquals(read(other), "its checksum is that of other bytes");
  }
  assertEquals(read(data.slice(0, 19)), "it ends before its checksum");
  assertEquals(read(data.slice(0, 20)), "its checksum is that of other bytes");
  assertEquals(read(sealed(new Uint8Array())), "it holds no record");
});

Deno.test("deaggregate: any bytes within a true checksum are read as by another decoder, or refused", () => {
  const almost = fc.tuple(
    fc.array(PACKED, { minLength: 1, maxLength: 5 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
  )
    .map(([packed, changes]) => {
      const message = aggregate(packed).slice(4, -16);
      for (const [at, byte] of changes) message[at % message.length] = byte;
      return message;
    });
  const anything = fc.oneof(fc.uint8Array({ maxLength: 200 }), almost);
  fc.assert(
    fc.property(anything, (message) => {
      const result = read(sealed(message));
      if (typeof result === "string") return;
      assertEquals(result, decoded(message)?.map(plain));
    }),
    { numRuns: 20_000 },
  );
});

Deno.test("deaggregate: a few bytes that stand for many records take no memory before they are asked for", () => {
  const count = 300_000;
  const message = new Uint8Array(3 + 6 * count);
  message.set([0x0a, 1, 65]);
  for (let i = 0; i < count; i++) message.set([0x1a, 4, 0x08, 0, 0x1a, 0], 3 + 6 * i);
  const reading = readAggregate(sealed(message), md5);
  assert(reading.kind === "aggregate");
  assertEquals(reading.aggregate.size, count);
  const [first] = reading.aggregate.recordsFrom(count - 1);
  assertEquals(first?.partitionKey, "A");
});
