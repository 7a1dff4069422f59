// What an operator orders is fenced: by the owner, the term and the last order that were seen.
import { assertEquals } from "@std/assert";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import { order, orderHandover, rewind } from "../../src/core/orders.ts";
import { shardRow } from "./arbitraries.ts";

const STOP = { kind: "stop", id: "1", at: 5 } as const;
const HELD: ShardRow = shardRow("s", {
  owner: "A",
  holder: "A-1",
  term: 4,
  stoppedBy: ["B"],
  handover: { to: "C", id: "7" },
});

Deno.test("orders: a stop keeps who stopped it before, a start makes all of that void", () => {
  assertEquals(order(HELD, STOP), {
    kind: "shard",
    id: "s",
    expect: { term: 4, order: null },
    set: { order: STOP },
  });
  const start = { ...STOP, kind: "start", id: "2" } as const;
  assertEquals(order({ ...HELD, order: STOP }, start), {
    kind: "shard",
    id: "s",
    expect: { term: 4, order: STOP },
    set: { order: start, stoppedBy: [] },
  });
});

Deno.test("orders: a handover takes the place of whoever else asks, as long as nobody answered", () => {
  assertEquals(orderHandover(HELD, { to: "D", id: "8" }), {
    kind: "shard",
    id: "s",
    expect: { owner: "A", term: 4, handover: { to: "C", id: "7" } },
    set: { handover: { to: "D", id: "8", isOrder: true } },
  });
});

Deno.test("orders: a rewind frees the shard in a later term, so that its owner writes no more", () => {
  const { expect, set } = rewind(HELD, TRIM_HORIZON);
  assertEquals(expect, { owner: "A", holder: "A-1", term: 4 });
  assertEquals(set, {
    owner: null,
    holder: null,
    previousOwner: "A",
    term: 5,
    because: "rewound",
    checkpoint: TRIM_HORIZON,
    checkpointAt: null,
    millisBehindLatest: null,
    handover: null,
    state: null,
  });
});
