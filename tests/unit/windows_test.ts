// Windows of time: where they begin and end, what is late, and what becomes of them when shards are split and merged.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { isLate, QuietTime, ShardWindows, windowId } from "../../src/core/windows.ts";

const SIZES = { size: 1_000, grace: 100 };
type Windows = ShardWindows<number>;

function open(shardId = "s"): Windows {
  return new ShardWindows<number>(shardId, SIZES);
}

/** Puts a record that counts one. */
function put(windows: Windows, arrival: number, n: number): void {
  windows.moveOn(arrival);
  const place = { sequenceNumber: String(n), subSequenceNumber: undefined };
  const window = windows.windowOf(arrival, place);
  window.state = (window.state ?? 0) + 1;
  windows.added(place);
}

/** Closes what is over; gives the names and the states. */
function close(windows: Windows): [string, number | undefined][] {
  const closed: [string, number | undefined][] = [];
  for (let due = windows.due; due !== undefined; due = windows.due) {
    closed.push([windowId(due), due.state]);
    windows.closed(due);
  }
  return closed;
}

function copyOf(windows: Windows, shardId = "s"): Windows {
  return ShardWindows.read(shardId, SIZES, JSON.stringify(windows.write()));
}

Deno.test("windows: a record is in the window that its arrival is in, until its end and the grace are over", () => {
  const windows = open();
  for (const [n, arrival] of [0, 999, 1_000, 1_099].entries()) put(windows, arrival, n + 1);
  assertEquals(close(windows), []);
  put(windows, 1_050, 5); // Out of order.
  put(windows, 990, 6); // Within the grace.
  windows.moveOn(1_100);
  assertEquals(close(windows), [["s/1970-01-01T00:00:00.000Z/1s", 3]]);
  assertEquals(windows.open.map(({ start, state }) => [start, state]), [[1_000, 3]]);
});

Deno.test("windows: what comes late opens a window of its own, which is closed with the next one", () => {
  const windows = open();
  put(windows, 500, 1);
  put(windows, 1_500, 2);
  assertEquals(close(windows).length, 1);
  put(windows, 600, 3);
  put(windows, 700, 4);
  assertEquals(close(windows), [], "what is late is collected");
  windows.moveOn(2_100);
  assertEquals(close(windows), [
    ["s/1970-01-01T00:00:00.000Z/1s/late-3", 2],
    ["s/1970-01-01T00:00:01.000Z/1s", 1],
  ]);
});

Deno.test("windows: one that is closed before its end has parts with names of their own", () => {
  const windows = open();
  put(windows, 500, 1);
  const [first] = windows.open;
  assert(first !== undefined && windowId(first) === "s/1970-01-01T00:00:00.000Z/1s");
  windows.closed(first);
  put(windows, 600, 2);
  const again = copyOf(windows);
  again.moveOn(1_100);
  assertEquals(close(again), [["s/1970-01-01T00:00:00.000Z/1s/part-2", 1]]);
});

Deno.test("windows: those of another size, of a version before, go on beside the new ones, and are no others", () => {
  const before = open();
  put(before, 500, 1);
  put(before, 1_200, 2);
  assertEquals(close(before), [["s/1970-01-01T00:00:00.000Z/1s", 1]]);
  const wide = ShardWindows.read<number>(
    "s",
    { size: 5_000, grace: 100 },
    JSON.stringify(before.write()),
  );
  put(wide, 1_300, 3);
  wide.moveOn(10_000);
  assertEquals(close(wide), [
    ["s/1970-01-01T00:00:00.000Z/5s", 1],
    ["s/1970-01-01T00:00:01.000Z/1s", 1],
  ]);
  put(wide, 10_100, 4);
  const both = ShardWindows.read<number>("s", SIZES, JSON.stringify(wide.write()));
  put(both, 10_200, 5);
  both.moveOn(20_000);
  assertEquals(close(both), [
    ["s/1970-01-01T00:00:10.000Z/5s", 1],
    ["s/1970-01-01T00:00:10.000Z/1s", 1],
  ]);
});

Deno.test("windows: a record is known that is in its window already, also within an aggregate", () => {
  const windows = open();
  put(windows, 1, 99);
  windows.added({ sequenceNumber: "99", subSequenceNumber: 3 });
  const again = copyOf(windows);
  const has = (sequenceNumber: string, subSequenceNumber?: number): boolean =>
    again.has({ sequenceNumber, subSequenceNumber });
  assert(has("9") && has("98", 7) && has("99", 3));
  assert(
    !has("99", 4) && !has("100") &&
      !open().has({ sequenceNumber: "1", subSequenceNumber: undefined }),
  );
});

const arrivals = fc.array(fc.nat(20_000), { minLength: 1, maxLength: 60 });

Deno.test("windows: however records arrive, and wherever it is taken up again, each is in one window", () => {
  fc.assert(fc.property(arrivals, fc.array(fc.boolean()), (times, crashes) => {
    let windows = open();
    const closed = new Map<string, number>();
    const take = (all: readonly [string, number | undefined][]): void => {
      for (const [id, state] of all) {
        assert(!closed.has(id), `${id} is another one`);
        closed.set(id, state ?? 0);
      }
    };
    for (const [n, time] of times.entries()) {
      if (crashes[n]) windows = copyOf(windows);
      windows.moveOn(time);
      take(close(windows));
      put(windows, time, n + 1);
    }
    windows.moveOn(100_000);
    take(close(windows));
    assertEquals([...closed.values()].reduce((a, b) => a + b, 0), times.length);
    assertEquals(windows.open, []);
  }));
});

Deno.test("windows: a split shares them out, a merge makes one of those that begin together", () => {
  const [left, right] = [open("l"), open("r")];
  for (const n of [1, 2, 3]) put(left, 500, n);
  put(right, 600, 4);
  put(right, 1_050, 5);
  const merged = ShardWindows.inherit("m", SIZES, {
    from: [{ windows: left, share: "whole" }, { windows: right, share: "whole" }],
    split: () => undefined,
    merge: (a, b) => a + b,
  });
  assertEquals(merged.time, 1_050);
  const halves = [2, 0].map((n) =>
    ShardWindows.inherit(`c${n}`, SIZES, {
      from: [{ windows: merged, share: n === 0 ? "first" : "other" }],
      split: (state) => state >= 2 ? state / 2 + n / 2 - 0.5 : undefined,
      merge: (a, b) => a + b,
    })
  );
  for (const half of halves) half.moveOn(10_000);
  assertEquals(merged.open.map((window) => [windowId(window), window.state]), [
    ["m/1970-01-01T00:00:00.000Z/1s", 4],
    ["r/1970-01-01T00:00:01.000Z/1s", 1],
  ]);
  assertEquals(halves.map(close), [
    [["c2/1970-01-01T00:00:00.000Z/1s", 2.5]],
    [["c0/1970-01-01T00:00:00.000Z/1s", 1.5]],
  ]);
});

Deno.test("windows: without functions for it they go on whole, and are closed once", () => {
  const [left, right] = [open("l"), open("r")];
  put(left, 500, 1);
  put(right, 600, 2);
  const inherit = (
    shardId: string,
    from: readonly [Windows, "whole" | "first" | "other"][],
  ): Windows =>
    ShardWindows.inherit(shardId, SIZES, {
      from: from.map(([windows, share]) => ({ windows, share })),
    });
  const merged = inherit("m", [[left, "whole"], [right, "whole"]]);
  put(merged, 700, 3);
  const first = inherit("f", [[merged, "first"]]);
  const other = inherit("o", [[merged, "other"]]);
  put(other, 800, 4);
  for (const windows of [first, other]) windows.moveOn(5_000);
  assertEquals(close(first), [["l/1970-01-01T00:00:00.000Z/1s", 1], [
    "r/1970-01-01T00:00:00.000Z/1s",
    2,
  ]]);
  assertEquals(close(other), [["o/1970-01-01T00:00:00.000Z/1s", 1]]);
});

Deno.test("windows: what was late stays apart from what was not when shards are merged", () => {
  const [left, right] = [open("l"), open("r")];
  put(left, 1_500, 1);
  put(left, 500, 2); // Late, since nothing was open.
  put(right, 500, 3);
  const merged = ShardWindows.inherit("m", SIZES, {
    from: [{ windows: left, share: "whole" }, { windows: right, share: "whole" }],
    split: () => undefined,
    merge: (a, b) => a + b,
  });
  assertEquals(merged.open.map((window) => [window.start, isLate(window), window.state]), [
    [0, true, 1],
    [0, false, 1],
    [1_000, false, 1],
  ]);
});

Deno.test("windows: what another processor wrote is refused", () => {
  for (const text of ["", "none", "{}", '{"tumblingWindows":2,"open":[]}', "null"]) {
    assertThrows(() => ShardWindows.read("s", SIZES, text), SyntaxError);
  }
});

Deno.test("quiet time: it goes on by this machine's clock from a record on, less what a read may not have brought", () => {
  const quiet = new QuietTime();
  assertEquals(quiet.at(5_000), undefined);
  quiet.saw(1_000_000, 100);
  assertEquals(quiet.at(100), 1_000_000);
  assertEquals(quiet.at(1_100), 1_000_000);
  assertEquals(quiet.at(3_100), 1_002_000);
  quiet.saw(999_000, 4_000);
  assertEquals(quiet.at(3_100), 1_002_000, "an older record says nothing new");
  quiet.saw(1_003_000, 4_000);
  assertEquals(quiet.at(4_000), 1_003_000);
});
