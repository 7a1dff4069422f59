/**
 * Owns: messages as bytes, between a process and the one in which its thread is: there and back.
 * Must not: know what is said.
 * Called by: `sandbox/process_port.ts`, and `processor_host.ts` on the other side.
 *
 * To the process: the lengths of the message and of the records that go with it, 4 bytes each; the message, as structured clone
 * writes it; the records as they are.
 *
 * From the process the messages share stdout with whatever the processor writes there. So each goes in pieces: a marker that the
 * processor does not know, two bytes of length, one that says whether it is the last piece. A piece is small enough for the
 * system to write it at once, so that nothing gets in between.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { deserialize, serialize } from "node:v8";

const HEAD_BYTES = 8;

/** A message, and the records that go with it. */
export interface Frame {
  readonly message: unknown;
  readonly records: ArrayBuffer | undefined;
}

/** The bytes of a frame, in the order in which they are to be written. */
export function encodeFrame({ message, records }: Frame): readonly Uint8Array<ArrayBuffer>[] {
  const body = serialize(message);
  const bytes = new Uint8Array(HEAD_BYTES + body.byteLength);
  const head = new DataView(bytes.buffer);
  head.setUint32(0, body.byteLength);
  head.setUint32(4, records?.byteLength ?? 0);
  bytes.set(body, HEAD_BYTES);
  return records === undefined ? [bytes] : [bytes, new Uint8Array(records)];
}

/** Reads up to as many bytes as there is room for; null is the end. */
export type ReadInto = (room: Uint8Array<ArrayBuffer>) => Promise<number | null>;

/**
 * The frames that arrive, until the other side is gone.
 *
 * @throws {Error} If what arrives is no frame.
 */
export async function* readFrames(read: ReadInto): AsyncGenerator<Frame, void> {
  const head = new Uint8Array(HEAD_BYTES);
  const lengths = new DataView(head.buffer);
  while (await fill(head, read)) {
    const body = new Uint8Array(lengths.getUint32(0));
    const records = new Uint8Array(lengths.getUint32(4));
    if (!await fill(body, read) || !await fill(records, read)) return;
    const message: unknown = deserialize(body);
    yield { message, records: records.byteLength === 0 ? undefined : records.buffer };
  }
}

/** Whether all of the room was filled before the end. */
async function fill(room: Uint8Array<ArrayBuffer>, read: ReadInto): Promise<boolean> {
  for (let at = 0; at < room.byteLength;) {
    const length = await read(room.subarray(at));
    if (length === null) return false;
    at += length;
  }
  return true;
}

/** What POSIX writes to a pipe at once, everywhere but on macOS, where it is 512. */
const PIECE_BYTES_MAX = 512;
const PIECE_HEAD_BYTES = 3;
/** Errors with their stacks are the longest that a thread says, and bounded (`packed_error.ts`), also those of a whole batch. */
const MESSAGE_BYTES_MAX = 8_388_608;

/** How many bytes a marker has. */
export const MARKER_BYTES = 16;

/** The pieces of a message, each to be written at once. */
export function* encodePieces(
  message: unknown,
  marker: Uint8Array,
): Generator<Uint8Array<ArrayBuffer>, void> {
  const body = serialize(message);
  const room = PIECE_BYTES_MAX - MARKER_BYTES - PIECE_HEAD_BYTES;
  for (let at = 0; at < body.byteLength; at += room) {
    const part = body.subarray(at, at + room);
    const piece = new Uint8Array(MARKER_BYTES + PIECE_HEAD_BYTES + part.byteLength);
    piece.set(marker);
    new DataView(piece.buffer).setUint16(MARKER_BYTES, part.byteLength);
    piece[MARKER_BYTES + 2] = at + room >= body.byteLength ? 1 : 0;
    piece.set(part, MARKER_BYTES + PIECE_HEAD_BYTES);
    yield piece;
  }
}

/** What comes out of stdout. */
export type Output =
  | { readonly kind: "message"; readonly message: unknown }
  /** Something that the processor wrote. */
  | { readonly kind: "print"; readonly bytes: Uint8Array };

/** Tells the messages in stdout from what else is written there. */
export class PieceReader {
  readonly #marker: Uint8Array;
  #rest: Buffer = Buffer.alloc(0);
  /** The pieces of a message that is not whole yet, and how long they are. */
  #pieces: Buffer[] = [];
  #length = 0;

  /** @param marker What each piece begins with. */
  constructor(marker: Uint8Array) {
    this.#marker = marker;
  }

  /**
   * Takes what arrived.
   *
   * @throws {Error} If a message is not one.
   */
  *push(bytes: Uint8Array): Generator<Output, void> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const at = this.#rest.indexOf(this.#marker);
      const printed = at < 0 ? this.#rest.byteLength - this.#begunMarker() : at;
      if (printed > 0) yield { kind: "print", bytes: this.#take(printed) };
      const head = MARKER_BYTES + PIECE_HEAD_BYTES;
      if (at < 0 || this.#rest.byteLength < head) return;
      const length = this.#rest.readUInt16BE(MARKER_BYTES);
      if (this.#rest.byteLength < head + length) return;
      const isLast = this.#rest[MARKER_BYTES + 2] === 1;
      this.#length += length;
      if (this.#length > MESSAGE_BYTES_MAX) throw new Error("a message is too long");
      this.#pieces.push(this.#take(head + length).subarray(head));
      if (!isLast) continue;
      const message: unknown = deserialize(Buffer.concat(this.#pieces));
      this.#pieces = [];
      this.#length = 0;
      yield { kind: "message", message };
    }
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  /** How many bytes at the end may be the beginning of a marker. */
  #begunMarker(): number {
    for (let length = Math.min(MARKER_BYTES - 1, this.#rest.byteLength); length > 0; length--) {
      const end = this.#rest.subarray(this.#rest.byteLength - length);
      if (end.equals(this.#marker.subarray(0, length))) return length;
    }
    return 0;
  }
}
