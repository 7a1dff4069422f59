// Owns: when a worker counts as dead.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { isAlive, sight, type Sightings } from "../../src/core/liveness.ts";
import { workerRow } from "./arbitraries.ts";

const gaps = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 50 });
const timeouts = fc.integer({ min: 200, max: 10_000 });

Deno.test("liveness: a worker whose beat moves within its time-out is never dead", () => {
  fc.assert(
    fc.property(
      timeouts,
      gaps,
      fc.integer({ min: 0, max: 1e9 }),
      (heartbeatTimeout, gaps, start) => {
        let known: Sightings = new Map();
        let now = start;
        for (const [beat, gap] of gaps.entries()) {
          known = sight(known, [workerRow("A", { beat, heartbeatTimeout })], now);
          now += Math.min(gap, heartbeatTimeout - 1);
          const sighting = known.get("A");
          assertEquals(sighting !== undefined && isAlive(sighting, now), true);
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("liveness: one that stands still is dead exactly after its own time-out", () => {
  fc.assert(
    fc.property(
      timeouts,
      gaps,
      fc.integer({ min: 0, max: 1e9 }),
      (heartbeatTimeout, gaps, start) => {
        // What the writer's clock says must not matter.
        const rowAt = (now: number) => workerRow("A", { heartbeatTimeout, beatAt: now * 3 });
        let known = sight(new Map(), [rowAt(start)], start);
        let now = start;
        for (const gap of gaps) {
          now += gap;
          known = sight(known, [rowAt(start)], now);
          const sighting = known.get("A");
          assertEquals(
            sighting !== undefined && isAlive(sighting, now),
            now - start < heartbeatTimeout,
          );
        }
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("liveness: a beat that goes back or a new incarnation is a sign of life too", () => {
  const start = sight(new Map(), [workerRow("A", { beat: 7 })], 0);
  const back = sight(start, [workerRow("A", { beat: 0 })], 500);
  assertEquals(back.get("A")?.since, 500);
  const again = sight(start, [workerRow("A", { beat: 7, incarnation: "A-2" })], 500);
  assertEquals(again.get("A")?.since, 500);
  const still = sight(start, [workerRow("A", { beat: 7, attention: "x" })], 500);
  assertEquals(still.get("A")?.since, 0);
});

Deno.test("liveness: a worker without a row is not known any more", () => {
  const known = sight(new Map(), [workerRow("A"), workerRow("B")], 0);
  assertEquals([...sight(known, [workerRow("B")], 1).keys()], ["B"]);
});
