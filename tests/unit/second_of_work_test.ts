// Owns: who gets reads of a second's work is not slower for it, however long they take, whatever fails, and however its speed changes.
import { assert, assertGreater } from "@std/assert";
import { SeededRandom } from "../virtual_clock.ts";
import { figuresOf, type Work } from "./second_of_work_testing.ts";

const KB = 1_024;
/** Payloads of 4 KB, by a worker of so many bytes a second. */
const steady = (bytesPerSecond: number, more: Partial<Work> = {}): Work => ({
  processMs: ({ bytes }) => bytes / bytesPerSecond * 1_000,
  bytesOf: () => 4 * KB,
  answerMs: () => 50,
  ...more,
});
/** One of so many, at places without order. */
const isNth = (number: number, many: number): boolean => new SeededRandom(number).next() < 1 / many;

const WORKERS: Readonly<Record<string, Work>> = {
  "that is slow": steady(1e5),
  "that is slow, of a Kinesis that is slower": steady(1e5, { answerMs: () => 2_000 }),
  "that can nearly keep up": steady(1.9e6, { answerMs: () => 100 }),
  "of a Kinesis that throttles every second call": steady(1e6, {
    isThrottled: (call) => call % 2 === 1,
    forMs: 60_000,
  }),
  "whose records are small but for a large one now and then": steady(5e5, {
    bytesOf: (number) => isNth(number, 270) ? 2 ** 20 : 100,
    answerMs: () => 20,
    forMs: 60_000,
  }),
  "that was slow and becomes fast": {
    processMs: ({ number }) => number < 100 ? 100 : 1 / 1.5,
    bytesOf: () => 1_000,
    answerMs: () => 100,
    warmUpMs: 12_000,
    forMs: 5_000,
  },
};

for (const [name, work] of Object.entries(WORKERS)) {
  Deno.test(`reads: a worker ${name} is hardly ever without records`, async () => {
    const { busy } = await figuresOf(work);
    assertGreater(busy, 0.9);
  });
}

for (const by of ["lean", "sdk"] as const) {
  const whose = by === "sdk" ? ", whose answers the SDK reads," : "";
  Deno.test(`reads: a worker that is faster than Kinesis${whose} gets all that a shard gives`, async () => {
    const { ofLimit } = await figuresOf(steady(2e7, { by, answerMs: () => 300 }));
    assertGreater(ofLimit, 0.95);
  });
}

Deno.test("reads: no more is held than is processed soon", async () => {
  const { bufferedMax, reads } = await figuresOf(steady(1e5));
  assert(bufferedMax < 5e5, `${bufferedMax} bytes`);
  assert(reads < 1.5, `${reads} a second`);
});
