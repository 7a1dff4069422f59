// Owns: what a processor prints goes out in order, and holds up nobody when its reader is slow.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { PrintQueue } from "../../src/cli/print_queue.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A reader that takes so many bytes at a time, each time when the test says so. */
class SlowReader {
  readonly #most: number;
  readonly #written: string[] = [];
  wait: Promise<void> = Promise.resolve();

  constructor(most: number) {
    this.#most = most;
  }

  get text(): string {
    return this.#written.join("");
  }

  write = async (bytes: Uint8Array): Promise<number> => {
    await this.wait;
    const taken = bytes.subarray(0, this.#most);
    this.#written.push(new TextDecoder().decode(taken));
    return taken.byteLength;
  };
}

Deno.test("print queue: all of it goes out in order, whatever becomes of the memory that it was in", async () => {
  const reader = new SlowReader(3);
  const queue = new PrintQueue(reader);
  const bytes = new Uint8Array(4);
  for (const text of ["abcd", "efgh"]) {
    bytes.set(encode(text));
    queue.push(bytes);
  }
  await queue.flushed();
  queue.push(encode("ij"));
  await queue.flushed();
  assertEquals(reader.text, "abcdefghij");
});

Deno.test("print queue: what a slow reader leaves no room for is left out, and said in its place", async () => {
  const reader = new SlowReader(Infinity);
  const gate = Promise.withResolvers<void>();
  reader.wait = gate.promise;
  const queue = new PrintQueue(reader);
  const line = encode(`${"x".repeat(1023)}\n`);
  for (let i = 0; i < 10_000; i++) queue.push(line);
  queue.push(encode("small\n"));
  gate.resolve();
  await queue.flushed();
  queue.push(encode("after\n"));
  await queue.flushed();
  const lines = reader.text.split("\n");
  const kept = lines.filter((text) => text.length === 1023).length;
  assertEquals(kept, 4 * 1024);
  const bytes = (10_000 - kept) * 1024 + 6;
  assertMatch(reader.text, new RegExp(`x\n\n\\[kinesix: ${bytes} bytes .*\\]\nafter\n$`));
});

Deno.test("print queue: an end does not wait for a reader that does not read, or has gone", async () => {
  const reader = new SlowReader(1);
  reader.wait = new Promise(() => {});
  const stuck = new PrintQueue(reader);
  stuck.push(encode("a"));
  const startedAt = performance.now();
  await stuck.flushed();
  assert(performance.now() - startedAt < 5_000);
  const gone = new PrintQueue({ write: () => Promise.reject(new Deno.errors.BrokenPipe("gone")) });
  gone.push(encode("a"));
  await gone.flushed();
});
