// Owns: the ways to start, repeat, order and wait for async work; nothing of them may stay behind.
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  Bell,
  forEachLimited,
  Scope,
  SerialQueue,
  TaskGroup,
  withTimeout,
} from "../../src/runtime/tasks.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

/** A signal that counts who listens to it. */
class CountedAbort extends AbortController {
  listeners = 0;

  constructor() {
    super();
    const { signal } = this;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      this.listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      this.listeners -= 1;
      remove(...args);
    };
  }
}

Deno.test("tasks: a scope follows its parents with their reason, and lets go of them", () => {
  const [first, second] = [new CountedAbort(), new CountedAbort()];
  {
    using scope = new Scope(first.signal, second.signal);
    assertEquals([first.listeners, second.listeners], [1, 1]);
    second.abort("why");
    assertEquals([scope.signal.aborted, scope.signal.reason], [true, "why"]);
    scope.abort("later");
    assertEquals(scope.signal.reason, "why");
  }
  assertEquals(first.listeners, 0);
  using late = new Scope(second.signal);
  assertEquals(late.signal.reason, "why");
  using own = new Scope(first.signal);
  own.abort("own");
  assertEquals(first.signal.aborted, false);
});

Deno.test("tasks: a group tells each failure, and settles when all work is done, later work too", async () => {
  const told: string[] = [];
  const group = new TaskGroup((task, error) => told.push(`${task}: ${error}`));
  const gate = Promise.withResolvers<void>();
  group.start("fails", () => Promise.reject("broken"));
  group.start("starts more", async () => {
    await gate.promise;
    group.start("late", async () => {
      await settled();
      told.push("late is done");
    });
  });
  let isSettled = false;
  const all = group.settled().then(() => isSettled = true);
  await settled();
  assertEquals([told, isSettled], [["fails: broken"], false]);
  gate.resolve();
  await all;
  assertEquals(told, ["fails: broken", "late is done"]);
});

Deno.test("tasks: a queue runs one thing after the other, whatever fails", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.boolean(), { maxLength: 8 }),
      async (s, failing) => {
        const queue = new SerialQueue();
        const log: string[] = [];
        const runs = failing.map((isFailing, i) =>
          queue.run(async () => {
            log.push(`in ${i}`);
            await s.schedule(Promise.resolve());
            log.push(`out ${i}`);
            if (isFailing) throw new Error(`${i}`);
            return i;
          })
        );
        const results = Promise.allSettled(runs);
        await s.waitFor(results);
        assertEquals(log, failing.flatMap((_, i) => [`in ${i}`, `out ${i}`]));
        assertEquals(
          (await results).map(({ status }) => status),
          failing.map((isFailing) => isFailing ? "rejected" : "fulfilled"),
        );
      },
    ),
  );
});

Deno.test("tasks: a bell wakes who waits, at once", async () => {
  const clock = new VirtualClock();
  const abort = new CountedAbort();
  const bell = new Bell();
  const waiting = bell.wait(clock, 5_000, abort.signal);
  await settled();
  bell.ring();
  assertEquals(await waiting, true);
  assertEquals([clock.sleeping, abort.listeners, clock.monotonic()], [0, 0, 0]);
});

Deno.test("tasks: a ring that nobody waits for is remembered, once", async () => {
  const clock = new VirtualClock();
  const { signal } = new AbortController();
  const bell = new Bell();
  bell.ring();
  bell.ring();
  assertEquals(await bell.wait(clock, 5_000, signal), true);
  const second = bell.wait(clock, 5_000, signal);
  assertEquals(await clock.until(second), false);
  assertEquals([clock.monotonic(), clock.sleeping], [5_000, 0]);
});

Deno.test("tasks: an abort ends the wait for a bell, and nothing stays behind", async () => {
  const clock = new VirtualClock();
  const abort = new CountedAbort();
  const bell = new Bell();
  const waiting = bell.wait(clock, 5_000, abort.signal);
  abort.abort(new Error("over"));
  await assertRejects(() => waiting, Error, "over");
  assertEquals(clock.sleeping, 0);
  await assertRejects(() => bell.wait(clock, 5_000, abort.signal), Error, "over");
});

Deno.test("tasks: work that is done in time gives its result, and the timer is gone", async () => {
  const clock = new VirtualClock();
  const abort = new CountedAbort();
  const late = () => new Error("late");
  assertEquals(await withTimeout(clock, 10, abort.signal, () => Promise.resolve(7), late), 7);
  const broken = () => withTimeout(clock, 10, abort.signal, () => Promise.reject(Error("x")), late);
  await assertRejects(broken, Error, "x");
  await settled();
  assertEquals([clock.sleeping, abort.listeners], [0, 0]);
});

Deno.test("tasks: work that takes too long is told so, and what it throws later says nothing new", async () => {
  const clock = new VirtualClock();
  const abort = new CountedAbort();
  let seen: AbortSignal | undefined;
  const fail = Promise.withResolvers<never>();
  const running = withTimeout(clock, 10, abort.signal, (signal) => {
    seen = signal;
    return fail.promise;
  }, () => new RangeError("late"));
  const rejected = assertRejects(() => running, RangeError, "late");
  await clock.advance(9);
  assertEquals(seen?.aborted, false);
  await clock.advance(1);
  await rejected;
  assertEquals(seen?.reason instanceof RangeError, true);
  fail.reject(new Error("unheard"));
  await settled();
  assertEquals([clock.sleeping, abort.listeners], [0, 0]);
});

Deno.test("tasks: each item is worked on once, never more than the limit at a time", async () => {
  const items = fc.array(fc.nat(), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), items, fc.integer({ min: 1, max: 5 }), async (s, items, n) => {
      let running = 0;
      const done: number[] = [];
      const all = forEachLimited([...items.keys()], n, async (index) => {
        running += 1;
        assert(running <= n);
        await s.schedule(Promise.resolve());
        running -= 1;
        done.push(index);
      });
      await s.waitFor(all);
      assertEquals(done.sort((a, b) => a - b), [...items.keys()]);
    }),
  );
});

Deno.test("tasks: the first failure is thrown when everything that was started is done", async () => {
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const all = forEachLimited(["slow", "broken", "never"], 2, async (item) => {
    log.push(`start ${item}`);
    if (item === "broken") throw new Error(item);
    await gate.promise;
    log.push(`end ${item}`);
  });
  const rejected = assertRejects(() => all, Error, "broken");
  await settled();
  gate.resolve();
  await rejected;
  assertEquals(log, ["start slow", "start broken", "end slow"]);
});
