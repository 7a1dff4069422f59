// Owns: what a worker knows of the others, and how it gets their attention.
import { assertEquals } from "@std/assert";
import { create, type WorkerRow } from "../../src/core/lease.ts";
import { Membership } from "../../src/runtime/membership.ts";
import { workerRow } from "./arbitraries.ts";
import { Bench, claimantOf } from "./runtime_testing.ts";

const TIMEOUT = 1_000;

/** Worker A, which knows nobody yet. */
function build(): {
  readonly bench: Bench;
  readonly members: Membership;
  /** Who turned out to be gone. */
  readonly gone: readonly string[];
} {
  const bench = new Bench();
  const gone: string[] = [];
  const { clock, random, store, emit, tasks } = bench;
  return {
    bench,
    members: new Membership({
      clock,
      random,
      store,
      emit,
      tasks,
      claimant: claimantOf("A"),
      onGone: (workerId) => gone.push(workerId),
    }),
    gone,
  };
}

async function write(bench: Bench, row: WorkerRow): Promise<void> {
  const { table } = bench.store;
  const { kind, id, ...set } = row;
  const { kind: outcome } = await table.write(create(row), bench.signal);
  if (outcome === "conflict") {
    await table.write<WorkerRow>({ kind, id, expect: {}, set }, bench.signal);
  }
}

Deno.test("membership: a look tells that a worker left, or died by falling silent, and tells it once", async () => {
  const { bench, bench: { clock, signal }, members } = build();
  await write(bench, workerRow("B", { heartbeatTimeout: TIMEOUT }));
  await write(bench, workerRow("C", { heartbeatTimeout: 10 * TIMEOUT }));
  assertEquals(await members.look(signal), []);
  await clock.advance(TIMEOUT - 1);
  assertEquals(await members.look(signal), []);
  assertEquals([...members.alive()].sort(), ["A", "B", "C"]);
  await clock.advance(1);
  assertEquals(await members.look(signal), ["B"]);
  assertEquals([...members.alive()].sort(), ["A", "C"]);
  assertEquals(await members.look(signal), []);
  assertEquals(bench.told("worker_lost").map(({ lostWorkerId }) => lostWorkerId), ["B"]);
  await bench.store.table.write(
    { kind: "worker", id: "C", expect: {}, set: "delete" },
    signal,
  );
  assertEquals(await members.look(signal), ["C"]);
  assertEquals(bench.told("worker_lost").length, 1, "who left is not lost");
});

Deno.test("B13: a worker is judged by its beat, not by any clock of its own", async () => {
  const { bench, bench: { clock, signal }, members } = build();
  for (let beat = 0; beat < 20; beat++) {
    await write(bench, workerRow("B", { beat, beatAt: 0, heartbeatTimeout: TIMEOUT }));
    assertEquals(await members.look(signal), []);
    await clock.advance(TIMEOUT - 1);
  }
  assertEquals(members.alive().has("B"), true);
});

Deno.test("membership: a draining worker is alive, but takes nothing", async () => {
  const { bench, members } = build();
  await write(bench, workerRow("B", { isDraining: true }));
  await members.look(bench.signal);
  assertEquals([members.alive().has("B"), members.takers().has("B")], [true, false]);
  assertEquals([...members.takers()], ["A"]);
});

Deno.test("B15: a worker that seems dead is looked at once more before its shards are taken", async () => {
  const { bench, bench: { clock, signal }, members } = build();
  await write(bench, workerRow("B", { heartbeatTimeout: TIMEOUT }));
  await members.look(signal);
  await clock.advance(TIMEOUT);
  assertEquals(members.alive().has("B"), false);
  await write(bench, workerRow("B", { heartbeatTimeout: TIMEOUT, beat: 1 }));
  assertEquals(await members.isDead("B", signal), false);
  assertEquals(members.alive().has("B"), true);
  await clock.advance(TIMEOUT);
  assertEquals(await members.isDead("B", signal), true);
  assertEquals(await members.isDead("nobody", signal), true);
});

Deno.test("membership: dead workers that no shard names are removed, unless they beat again", async () => {
  const { bench, bench: { clock, store, signal }, members } = build();
  for (const id of ["B", "C", "D", "E"]) {
    await write(bench, workerRow(id, { heartbeatTimeout: id === "E" ? 10 * TIMEOUT : TIMEOUT }));
  }
  await members.look(signal);
  await clock.advance(TIMEOUT);
  await members.look(signal);
  await write(bench, workerRow("D", { heartbeatTimeout: TIMEOUT, beat: 1 }));
  await members.bury(new Set(["C"]), signal);
  const { rows } = await store.table.list("worker", signal);
  assertEquals(rows.map(({ id }) => id).sort(), ["C", "D", "E"]);
});

Deno.test("membership: several nudges at once are one write, to the incarnation that was seen", async () => {
  const { bench, bench: { clock, store, signal }, members } = build();
  await write(bench, workerRow("B"));
  await members.look(signal);
  for (let n = 0; n < 5; n++) members.nudge("B", signal);
  members.nudge("nobody", signal);
  await clock.advance(1_000);
  assertEquals(store.sent.map(({ id, expect }) => [id, expect]), [["B", { incarnation: "B-1" }]]);
  await bench.tasks.settled();
  assertEquals(clock.sleeping, 0);
});

Deno.test("membership: a nudge tells that its worker has left, or runs anew", async () => {
  const { bench, bench: { clock, store, signal }, members, gone } = build();
  for (const id of ["B", "C", "D"]) await write(bench, workerRow(id));
  await members.look(signal);
  await store.table.write({ kind: "worker", id: "B", expect: {}, set: "delete" }, signal);
  await write(bench, workerRow("C", { incarnation: "C-2" }));
  for (const id of ["B", "C", "D"]) members.nudge(id, signal);
  await clock.advance(1_000);
  assertEquals([...gone].sort(), ["B", "C"]);
});

Deno.test("membership: a death is certified once, and not of a worker whose beat moved meanwhile", async () => {
  const { bench, bench: { clock, signal }, members } = build();
  for (const id of ["B", "C"]) {
    await write(bench, workerRow(id, { beat: 1, heartbeatTimeout: TIMEOUT }));
  }
  await members.look(signal);
  await clock.advance(TIMEOUT);
  await members.look(signal);
  await write(bench, workerRow("C", { beat: 2, heartbeatTimeout: TIMEOUT }));
  assertEquals(await members.certify(signal), ["B"]);
  assertEquals(await bench.store.table.read("worker", "B", signal), null);
  assertEquals((await bench.store.table.read("worker", "C", signal))?.beat, 2);
  assertEquals(await members.certify(signal), [], "the row is gone already");
});
