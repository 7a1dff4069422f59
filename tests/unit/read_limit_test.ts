// Owns: how many records a read asks for, by the room there is and the size of the records so far.
import { assert, assertEquals } from "@std/assert";
import { RecordSizes } from "../../src/adapters/read_limit.ts";

const MIB = 2 ** 20;

function sizes(records: number, bytes: number, others?: RecordSizes): RecordSizes {
  const sizes = new RecordSizes(others);
  sizes.learn({ records, bytes: records * bytes });
  return sizes;
}

Deno.test("read limit: with room for all that a read may bring, it asks for as many as it is allowed to", () => {
  for (const known of [new RecordSizes(), sizes(10, 100), sizes(10, 1_000), sizes(3, MIB)]) {
    for (const recordsMax of [1, 500, 10_000]) {
      const { wanted, least } = known.room(recordsMax);
      assert(0 < least && least <= wanted);
      assertEquals(known.limit(wanted, recordsMax), recordsMax);
    }
  }
});

Deno.test("read limit: with less room it asks for as many as fit, decoding included, and one at least", () => {
  const known = sizes(100, 1_000);
  const { wanted, least } = known.room(10_000);
  const quarter = known.limit(wanted / 4, 10_000);
  assert(1_000 < quarter && quarter < 3_000, `${quarter}`);
  assertEquals(known.limit(least, 10_000), 1);
  assertEquals(known.limit(1, 10_000), 1);
  assert(known.limit(MIB, 10_000) * 1_000 < MIB / 3, "a third of the room at most is payload");
});

Deno.test("read limit: a read never wants more room than for 10 MiB of payload", () => {
  const large = sizes(10, MIB).room(10_000).wanted;
  assert(large >= 10 * MIB && large < 50 * MIB, `${large}`);
  assert(sizes(10, 100).room(500).wanted < MIB * 2);
});

Deno.test("read limit: larger records count at once, smaller ones slowly", () => {
  const known = sizes(100, 1_000);
  const before = known.limit(MIB, 10_000);
  known.learn({ records: 1, bytes: 100_000 });
  const after = known.limit(MIB, 10_000);
  assert(after < before / 20, `${before} to ${after}`);
  known.learn({ records: 100, bytes: 100_000 });
  assert(known.limit(MIB, 10_000) < before / 10);
  for (let i = 0; i < 40; i++) known.learn({ records: 100, bytes: 100_000 });
  assertEquals(known.limit(MIB, 10_000), before);
});

Deno.test("read limit: what one shard learned is the first guess of another, and an empty read says nothing", () => {
  const stream = new RecordSizes();
  sizes(100, 1_000, stream);
  const other = new RecordSizes(stream);
  assertEquals(other.limit(MIB, 10_000), sizes(100, 1_000).limit(MIB, 10_000));
  other.learn({ records: 0, bytes: 0 });
  assertEquals(other.limit(MIB, 10_000), sizes(100, 1_000).limit(MIB, 10_000));
  assert(
    new RecordSizes().limit(MIB, 10_000) <= 1,
    "a record may be large as long as nothing is known",
  );
});

Deno.test("read limit: at the tip little is expected, behind it as much as may come", () => {
  const known = sizes(100, 1_000);
  const { wanted, enough } = known.room(10_000);
  assertEquals(enough, wanted);
  known.learn({ records: 0, bytes: 0, millisBehindLatest: 0 });
  const atTip = known.room(10_000);
  assertEquals(atTip.wanted, wanted, "more is welcome");
  assert(atTip.least <= atTip.enough && atTip.enough < 2 * MIB, `${atTip.enough}`);
  known.learn({ records: 2_000, bytes: 2_000_000, millisBehindLatest: 0 });
  assert(known.room(10_000).enough > 4_000 * 1_000);
  known.learn({ records: 2_000, bytes: 2_000_000, millisBehindLatest: 5 });
  assertEquals(known.room(10_000).enough, wanted);
});
