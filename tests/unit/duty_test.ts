// Who does what one could do for all: core/duty.ts.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  dutyFactor,
  isOnDuty,
  ON_DUTY_MAX,
  WATCHERS_MAX,
  watchEvery,
} from "../../src/core/duty.ts";

const members = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 40 })
  .map((names) => new Set(names));

Deno.test("duty: each job falls to the same few, whoever asks, and to all of a few", () => {
  fc.assert(fc.property(members, fc.string(), (all, job) => {
    const onDuty = [...all].filter((member) => isOnDuty(member, all, job));
    assertEquals(onDuty.length, Math.min(all.size, ON_DUTY_MAX));
  }));
});

Deno.test("duty: when one of the few is gone the others stay, and one more comes", () => {
  fc.assert(fc.property(members, fc.string(), (all, job) => {
    const before = [...all].filter((member) => isOnDuty(member, all, job));
    const rest = new Set(all);
    rest.delete(before[0] ?? "");
    for (const member of before.slice(1)) assert(isOnDuty(member, rest, job));
  }));
});

Deno.test("duty: different jobs fall to different workers", () => {
  const all = new Set(Array.from({ length: 100 }, (_, i) => `worker-${i}`));
  const busy = new Map<string, number>();
  for (let job = 0; job < 1_000; job++) {
    for (const member of all) {
      if (isOnDuty(member, all, `left worker-${job}`)) {
        busy.set(member, (busy.get(member) ?? 0) + 1);
      }
    }
  }
  assert(Math.max(...busy.values()) < 80, "nobody has much more than the average of 30");
  assert(busy.size > 95, "nearly everybody has something to do");
});

Deno.test("duty: together the others are as busy as those on duty", () => {
  const all = new Set(Array.from({ length: 30 }, (_, i) => `worker-${i}`));
  const looks = [...all].reduce((sum, member) => sum + 1 / dutyFactor(member, all, "look"), 0);
  assert(looks >= ON_DUTY_MAX && looks < 2 * ON_DUTY_MAX, `${looks} looks in a period`);
});

Deno.test("duty: a few watch once per heartbeat, many more seldom, and the time-out is a number of their periods", () => {
  const settings = fc.record({
    heartbeat: fc.integer({ min: 100, max: 60_000 }),
    beats: fc.double({ min: 2, max: 20, noNaN: true }),
    members: fc.integer({ min: 1, max: 5_000 }),
  });
  fc.assert(fc.property(settings, ({ heartbeat, beats, members }) => {
    const heartbeatTimeout = heartbeat * beats;
    const every = watchEvery(members, { heartbeat, heartbeatTimeout });
    if (members <= WATCHERS_MAX) return assertEquals(every, heartbeat);
    const periods = heartbeatTimeout / every;
    assert(Math.abs(periods - Math.round(periods)) < 1e-9, `${periods} periods`);
    assert(every >= heartbeat - 1e-6, "no more often than a few workers look");
    const most = Math.max(
      heartbeat * members / WATCHERS_MAX,
      heartbeatTimeout / Math.floor(heartbeatTimeout / heartbeat),
    );
    assert(every <= heartbeatTimeout && every <= most + 1e-6);
  }));
  const [few, more, many] = [10, 40, 1_000].map((members) =>
    watchEvery(members, { heartbeat: 30_000, heartbeatTimeout: 180_000 })
  );
  assertEquals([few, more, many], [30_000, 90_000, 180_000]);
});
