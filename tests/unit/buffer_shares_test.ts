// Owns: who of many readers gets how much memory.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Ask, BufferShares, type Share } from "../../src/core/buffer_shares.ts";

/** Readers that ask, and what they got. */
class Readers {
  readonly shares: BufferShares;
  readonly all: Share[] = [];
  #asks: Ask[] = [];
  /** Whether what is given stays under way; else it arrives at once. */
  isReading = false;

  constructor(maxBytes: number, count: number) {
    this.shares = new BufferShares(maxBytes);
    for (let i = 0; i < count; i++) this.all.push(this.shares.join());
  }

  share(reader: number): Share {
    const share = this.all[reader];
    assert(share !== undefined);
    return share;
  }

  ask(reader: number, wanted: number, least = 1): Ask {
    const ask = { share: this.share(reader), wanted, least, enough: wanted };
    this.#asks.push(ask);
    this.shares.wait(ask);
    return ask;
  }

  /** Who gets how much now. */
  serve(): readonly (readonly [number, number])[] {
    const served: (readonly [number, number])[] = [];
    for (const { ask, bytes } of this.shares.serve()) {
      if (!this.isReading) this.shares.land(ask.share, bytes);
      assert(ask.least <= bytes && bytes <= ask.wanted, `${bytes} of ${ask.wanted}`);
      served.push([this.all.indexOf(ask.share), bytes]);
    }
    return served;
  }

  /** The wishes that wait. */
  get waiting(): readonly Ask[] {
    return this.#asks = this.#asks.filter((ask) => this.shares.isWaiting(ask));
  }

  finish(reader: number, bytes: number = this.share(reader).held): void {
    this.shares.change(this.share(reader), -bytes);
  }

  get held(): readonly number[] {
    return this.all.map(({ held }) => held);
  }
}

Deno.test("buffer shares: a single reader has what it wants, and leaves a part for who comes", () => {
  const one = new Readers(64, 1);
  one.ask(0, 10);
  one.ask(0, 10);
  assertEquals(one.serve(), [[0, 10], [0, 10]]);
  one.ask(0, 1_000);
  assertEquals(one.serve(), [[0, 28]]);
});

Deno.test("buffer shares: readers that want more than there is come to equal parts", () => {
  const many = new Readers(64_000, 16);
  const hold = (): void => {
    for (let reader = 0; reader < 16; reader++) {
      many.finish(reader);
      many.ask(reader, 10_000);
      many.serve();
    }
  };
  for (let round = 0; round < 20; round++) hold();
  for (const held of many.held) assert(3_000 < held && held < 4_500, String(many.held));
});

Deno.test("buffer shares: readers that are stuck with what they hold never stop the rest", () => {
  const many = new Readers(64_000, 100);
  for (let round = 0; round < 5; round++) {
    for (let reader = 0; reader < 99; reader++) many.ask(reader, 10_000);
    many.serve();
    for (const ask of many.waiting) many.shares.withdraw(ask);
  }
  many.ask(99, 10_000, 320);
  assertEquals(many.serve().length, 1, "its own part of the half that is dealt");
  many.ask(99, 10_000, 320);
  assertEquals(many.serve(), [], "no more than that");
});

Deno.test("buffer shares: who asked first gets first, also when it asks for more than others", () => {
  const three = new Readers(60, 3); // 10 each, and 30 for all.
  three.ask(0, 40, 40);
  assertEquals(three.serve(), [[0, 40]]);
  three.ask(1, 30, 30);
  three.ask(2, 16, 16);
  assertEquals(three.serve(), []);
  three.finish(0, 15);
  assertEquals(three.serve(), [], "there is enough for the second, whose turn it is not");
  three.finish(0, 10);
  assertEquals(three.serve(), [[1, 30]]);
  three.finish(0);
  three.finish(1);
  assertEquals(three.serve(), [[2, 16]]);
});

Deno.test("buffer shares: who holds nothing comes before who holds something", () => {
  const two = new Readers(40, 2);
  two.ask(0, 15);
  two.serve();
  two.ask(0, 20, 20);
  assertEquals(two.serve(), []);
  two.ask(1, 22, 22);
  assertEquals(two.serve(), [[1, 22]]);
});

Deno.test("buffer shares: whoever could have only a crumb waits while others read, and gets more", () => {
  const many = new Readers(64_000, 100); // 320 each, and 32,000 for all; less than 4,000 is a crumb.
  many.isReading = true;
  for (let reader = 0; reader < 100; reader++) many.ask(reader, 10_000);
  const first = many.serve();
  assert(first.length >= 16 && first.length < 24, String(first));
  assertEquals(many.serve(), []);
  const [[reader] = [0]] = first;
  many.shares.land(many.share(reader), 0);
  const [next] = many.serve();
  assert(next !== undefined && next[1] >= 4_000, String(next));
});

Deno.test("buffer shares: reads that hang do not hold up the rest for ever, and crumbs are given when few read", () => {
  const many = new Readers(64_000, 100);
  for (let reader = 0; reader < 80; reader++) many.ask(reader, 10_000);
  many.serve();
  assert(many.shares.held > 55_000);
  many.isReading = true;
  for (let reader = 80; reader < 100; reader++) many.ask(reader, 10_000, 320);
  assertEquals(
    many.serve().length,
    16,
    "its own part of the half that is dealt, for a few at a time",
  );
});

Deno.test("buffer shares: what is larger than everything goes through, one at a time", () => {
  const two = new Readers(10, 2);
  two.ask(0, 100, 100);
  two.ask(1, 100, 100);
  assertEquals(two.serve(), [[0, 100]]);
  two.finish(0);
  assertEquals(two.serve(), [[1, 100]]);
});

Deno.test("buffer shares: a reader that came or went changes the parts of all", () => {
  const shares = new BufferShares(80);
  const [first, second] = [shares.join(), shares.join()];
  shares.change(first, 30);
  shares.change(second, 60);
  assertEquals(shares.held, 90);
  shares.leave(second);
  assertEquals(shares.held, 30);
  const ask = { share: shares.join(), wanted: 40, least: 1, enough: 40 };
  shares.wait(ask);
  const [grant] = shares.serve();
  assertEquals(grant?.bytes, 35, "20 of its own, and half of the 30 that are left for all");
});

interface Happening {
  readonly reader: number;
  readonly what: "ask" | "finish" | "arrive";
  readonly bytes: number;
  readonly least: number;
}

function happenings(leastMax: number, ...what: Happening["what"][]): fc.Arbitrary<Happening[]> {
  const bytes = fc.integer({ min: 1, max: 150 });
  const least = fc.integer({ min: 1, max: leastMax });
  return fc.array(
    fc.record({ reader: fc.nat({ max: 4 }), what: fc.constantFrom(...what), bytes, least }),
    { maxLength: 60 },
  );
}

function happen(readers: Readers, { reader, what, bytes, least }: Happening): void {
  const share = readers.share(reader);
  const isWaiting = readers.waiting.some((ask) => ask.share === share);
  if (what === "ask" && !isWaiting) readers.ask(reader, Math.max(bytes, least), least);
  if (what === "finish") readers.finish(reader, Math.min(bytes, share.held));
  if (what === "arrive") readers.shares.change(share, bytes);
  readers.serve();
  assertEquals(readers.shares.held, readers.held.reduce((sum, held) => sum + held, 0));
}

Deno.test("buffer shares: what is given is never more than there is", () => {
  fc.assert(
    fc.property(happenings(50, "ask", "finish"), (all) => {
      const readers = new Readers(100, 5);
      for (const happening of all) {
        happen(readers, happening);
        assert(readers.shares.held <= 100, String(readers.held));
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("buffer shares: whatever comes, everybody has a turn", () => {
  fc.assert(
    fc.property(happenings(300, "ask", "finish", "arrive"), (all) => {
      const readers = new Readers(100, 5);
      for (const happening of all) happen(readers, happening);
      for (let rounds = 0; readers.waiting.length > 0; rounds++) {
        for (let reader = 0; reader < 5; reader++) readers.finish(reader);
        assert(readers.serve().length > 0, "somebody is served when nothing is held");
        assert(rounds < 5);
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("buffer shares: with more held than there is, who holds nothing may still begin, and nobody else goes on", () => {
  const readers = new Readers(100, 10); // 5 each, and 50 for all.
  readers.shares.change(readers.share(0), 130);
  readers.ask(1, 40, 3);
  assertEquals(readers.serve(), [[1, 3]]);
  readers.ask(1, 40, 1);
  readers.ask(2, 40, 6);
  assertEquals(readers.serve(), []);
});

Deno.test("buffer shares: nobody who could have something is passed over when all the others wait", () => {
  const happening = fc.record({
    reader: fc.nat({ max: 39 }),
    what: fc.constantFrom("ask", "ask", "ask", "land", "finish"),
    bytes: fc.integer({ min: 1, max: 100 }),
    least: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 10 }) }, fc.nat(90)),
  });
  fc.assert(
    fc.property(fc.array(happening, { minLength: 40, maxLength: 200 }), (all) => {
      const readers = new Readers(1_000, 40);
      readers.isReading = true;
      // Never gets anything, and has everybody looked at.
      const looker = { share: readers.shares.join(), wanted: 10_000, least: 10_000, enough: 0 };
      readers.shares.change(looker.share, 1);
      for (const { reader, what, bytes, least } of all) {
        const share = readers.share(reader);
        const isBusy = share.reading > 0 || readers.waiting.some((ask) => ask.share === share);
        if (what === "ask" && !isBusy) readers.ask(reader, Math.max(bytes, least), least);
        if (what === "land") readers.shares.land(share, Math.min(bytes, share.reading));
        if (what === "finish") readers.finish(reader, Math.min(bytes, share.held - share.reading));
        readers.serve();
        readers.shares.wait(looker);
        assertEquals(readers.serve(), []);
        readers.shares.withdraw(looker);
        // Forgets that it was there.
        readers.serve();
      }
    }),
    { numRuns: 300 },
  );
});
