import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { linesOf, wantsColor } from "../../src/cli/terminal.ts";
import { fakeTerminal } from "./cli_testing.ts";

async function read(chunks: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
  const lines: Uint8Array[] = [];
  for await (const some of linesOf(ReadableStream.from(chunks))) lines.push(...some);
  return lines;
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("lines end with LF or CRLF, the last one needs no end, empty ones count", async () => {
  assertEquals(await read([bytes("a\r\n\nb")]), [bytes("a"), bytes(""), bytes("b")]);
  assertEquals(await read([bytes("a\n")]), [bytes("a")]);
  assertEquals(await read([]), []);
});

Deno.test("lines are the same however their bytes arrive, and stay as they are", async () => {
  const line = fc.uint8Array({ maxLength: 20 }).map((line) =>
    line.filter((byte) => byte !== 10 && byte !== 13)
  );
  await fc.assert(fc.asyncProperty(
    fc.array(line, { maxLength: 10 }),
    fc.array(fc.nat({ max: 200 }), { maxLength: 10 }),
    async (lines, cuts) => {
      const all = Uint8Array.from(lines.flatMap((line) => [...line, 10]));
      const ends = [
        ...cuts.filter((cut) => cut < all.length).toSorted((a, b) => a - b),
        all.length,
      ];
      const chunks = ends.map((end, at) => all.subarray(ends[at - 1] ?? 0, end));
      assertEquals(await read(chunks), lines);
    },
  ));
});

Deno.test("colours are for terminals only, and NO_COLOR is respected", () => {
  assertEquals(wantsColor(fakeTerminal(), true), true);
  assertEquals(wantsColor(fakeTerminal(), false), false);
  assertEquals(wantsColor(fakeTerminal({ env: { NO_COLOR: "1" } }), true), false);
  assertEquals(wantsColor(fakeTerminal({ env: { TERM: "dumb" } }), true), false);
});
