// Owns: an answer that is there and whose turn it is not yet: whatever ends it then, nothing is lost, repeated, or held on to.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { upTo } from "./app_testing.ts";
import { PartedShard } from "./parts_testing.ts";

const RECORDS = 200;

const happenings = fc.array(
  fc.record({ ms: fc.nat(1_500), what: fc.constantFrom("stop", "other processor") }),
  { maxLength: 4 },
);

Deno.test("parts in a worker: stops, new processors and broken answers at any time lose and repeat nothing, and nothing is held after the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1_000, 10_000, 60_000),
      happenings,
      fc.option(fc.nat(RECORDS - 1), { nil: undefined }),
      async (bytes, happenings, breaksAt) => {
        const shard = new PartedShard();
        shard.put(RECORDS, { bytes });
        shard.isClosed = true;
        shard.breaksAt = breaksAt;
        const { clock } = shard;
        let processor = shard.one;
        let app = await shard.start(processor);
        for (const { ms, what } of happenings) {
          await clock.advance(ms);
          if (what === "stop") {
            await clock.until(app.stop());
            assertEquals(app.bufferedBytes, 0);
            app = await shard.start(processor);
          } else {
            processor = processor === shard.one ? shard.many : shard.one;
            await clock.until(app.changeProcessor(processor));
          }
        }
        for (let i = 0; i < 3_000 && !shard.hasEnded; i++) await clock.advance(100);
        assert(shard.hasEnded);
        assertEquals(shard.numbers, upTo(RECORDS));
        await clock.advance(1_000);
        assertEquals(app.bufferedBytes, 0);
        await clock.until(app.stop());
      },
    ),
    { numRuns: 40 },
  );
});
