// Owns: messages between processes: they arrive as they were, however the bytes arrive, and whatever else is written in between.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  encodeFrame,
  encodePieces,
  type Frame,
  MARKER_BYTES,
  type Output,
  PieceReader,
  readFrames,
} from "../../src/sandbox/frames.ts";

const MARKER = Uint8Array.from({ length: MARKER_BYTES }, (_, i) => 200 + i);

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Cuts bytes at places drawn at random. */
function cut(bytes: Uint8Array, sizes: readonly number[]): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const size = sizes[parts.length % sizes.length] ?? 1;
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
}

const SIZES = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 });
/** Whatever structured clone keeps. */
const VALUE = fc.oneof(
  fc.string({ maxLength: 3_000, unit: "binary" }),
  fc.constantFrom(undefined, null, NaN, -0, Infinity, 1n, true),
  fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.double(), fc.bigInt())),
);

Deno.test("frames: to the process, messages and records arrive as they were, however they are cut", async () => {
  const frame = fc.record({
    message: VALUE,
    records: fc.option(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 4 }), SIZES, async (sent, sizes) => {
      const frames: readonly Frame[] = sent.map(({ message, records }) => ({
        message,
        records: records && Uint8Array.from(records).buffer,
      }));
      const bytes = join(frames.flatMap((one) => [...encodeFrame(one)]));
      let at = 0;
      let i = 0;
      const received = await Array.fromAsync(readFrames((room) => {
        const size = sizes[i++ % sizes.length] ?? 1;
        const some = bytes.subarray(at, at + Math.min(size, room.byteLength));
        room.set(some);
        at += some.byteLength;
        return Promise.resolve(
          some.byteLength === 0 && room.byteLength > 0 ? null : some.byteLength,
        );
      }));
      assertEquals(received, frames.map(({ message, records }) => ({ message, records })));
    }),
    { numRuns: 200 },
  );
});

Deno.test("frames: one that is cut off is the end, one that is no message is refused", async () => {
  const read = (bytes: Uint8Array) => {
    let at = 0;
    return (room: Uint8Array) => {
      const some = bytes.subarray(at, at += room.byteLength);
      room.set(some);
      return Promise.resolve(some.byteLength === 0 ? null : some.byteLength);
    };
  };
  const whole = join(encodeFrame({ message: { a: 1 }, records: undefined }));
  for (let length = 0; length < whole.byteLength; length++) {
    assertEquals(await Array.fromAsync(readFrames(read(whole.subarray(0, length)))), []);
  }
  const wrong = Uint8Array.from(whole).fill(7, 8);
  await assertRejects(() => Array.fromAsync(readFrames(read(wrong))), Error);
});

/** What comes out, with neighbouring prints as one. */
function receive(chunks: readonly Uint8Array[]): readonly unknown[] {
  const reader = new PieceReader(MARKER);
  const outputs: Output[] = chunks.flatMap((chunk) => [...reader.push(chunk)]);
  const messages = outputs.flatMap((one) => one.kind === "message" ? [one.message] : []);
  const printed = outputs.flatMap((one) => one.kind === "print" ? [...one.bytes] : []);
  return [messages, Uint8Array.from(printed)];
}

Deno.test("frames: from the process, messages arrive in between of whatever is printed, and both are whole", () => {
  const step = fc.oneof(
    VALUE.map((message) => ({ message })),
    // Also what looks like a marker that begins.
    fc.array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(200, 201, 202)), {
      minLength: 1,
      maxLength: 60,
    }).map((print) => ({ print: Uint8Array.from(print) })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), SIZES, (steps, sizes) => {
      const pieces = steps.flatMap((one) =>
        "print" in one ? [one.print] : [...encodePieces(one.message, MARKER)]
      );
      const messages = steps.flatMap((one) => "message" in one ? [one.message] : []);
      // What may still become a marker is held back at the end.
      const end = Uint8Array.of(0);
      const printed = join([...steps.flatMap((one) => "print" in one ? [one.print] : []), end]);
      assertEquals(receive(cut(join([...pieces, end]), sizes)), [messages, printed]);
    }),
    { numRuns: 300 },
  );
});

Deno.test("frames: a print between two pieces of a message does not harm it", () => {
  const message = { text: "x".repeat(5_000) };
  const print = new TextEncoder().encode("printed\n");
  const pieces = [...encodePieces(message, MARKER)].flatMap((piece) => [piece, print]);
  const [messages, printed] = receive(pieces);
  assertEquals(messages, [message]);
  assertEquals(printed, join(Array(pieces.length / 2).fill(print)));
});

Deno.test("frames: every piece is small enough to be written at once; a message that never ends is refused", () => {
  const pieces = [...encodePieces("x".repeat(2_000), MARKER)];
  for (const { byteLength } of pieces) assertEquals(byteLength <= 512, true);
  const [first = new Uint8Array()] = pieces;
  const reader = new PieceReader(MARKER);
  assertThrows(
    () => {
      for (let i = 0; i < 100_000; i++) [...reader.push(first)];
    },
    Error,
    "too long",
  );
});
