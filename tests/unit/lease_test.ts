// Owns: the moves on a shard row, against a model of what a lease is.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import {
  type Checkpoint,
  compareCheckpoints,
  SHARD_END,
  TRIM_HORIZON,
} from "../../src/core/checkpoint.ts";
import {
  advance,
  claim,
  type Claimant,
  clearHandover,
  create,
  end,
  forget,
  give,
  isHeldBy,
  type LeaseChange,
  passOn,
  refuse,
  release,
  requestHandover,
  type ShardRow,
} from "../../src/core/lease.ts";
import { rewind } from "../../src/core/orders.ts";
import { shardRow } from "./arbitraries.ts";

const { signal } = new AbortController();
const WORKERS = ["A", "B", "C"] as const;

function at(sequence: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(sequence) };
}

/** What must be true of a shard, whatever the workers do: the model. */
interface Model {
  term: number;
  holder: string | null;
  checkpoint: Checkpoint;
}

/** The store, and what each worker believes: the row as it last saw it, which may be long out of date. */
interface Real {
  readonly store: MemoryLeaseStore;
  readonly seen: Map<string, ShardRow>;
}

class Move implements fc.AsyncCommand<Model, Real> {
  readonly worker: string;
  readonly name: string;
  readonly makeChange: (row: ShardRow, self: Claimant, model: Model) => LeaseChange;
  readonly mustHold: boolean;

  constructor(
    worker: string,
    name: string,
    mustHold: boolean,
    makeChange: (row: ShardRow, self: Claimant, model: Model) => LeaseChange,
  ) {
    this.worker = worker;
    this.name = name;
    this.mustHold = mustHold;
    this.makeChange = makeChange;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, { store, seen }: Real): Promise<void> {
    const self = { workerId: this.worker, incarnation: `${this.worker}-1` };
    const row = seen.get(this.worker);
    if (row === undefined || (this.mustHold && !isHeldBy(row, self))) return;
    const before = await store.read("shard", "s", signal);
    const result = await store.write(this.makeChange(row, self, model), signal);
    const after = await store.read("shard", "s", signal);
    assert(before !== null && after !== null);
    assertEquals(result.row, after);
    if (result.kind === "conflict") {
      assertEquals(after, before);
      return;
    }
    seen.set(this.worker, after);
    assertEquals(row.term, model.term, "a write of an older term was applied");
    const isChange = after.owner !== before.owner || after.holder !== before.holder;
    assertEquals(after.term, before.term + (isChange || this.name === "claim" ? 1 : 0));
    assert(compareCheckpoints(after.checkpoint, model.checkpoint) >= 0, "the checkpoint went back");
    if (this.mustHold) assertEquals(model.holder, self.incarnation, "not the holder's to write");
    Object.assign(model, { term: after.term, holder: after.holder, checkpoint: after.checkpoint });
  }

  toString(): string {
    return `${this.worker} ${this.name}`;
  }
}

class Look implements fc.AsyncCommand<Model, Real> {
  readonly worker: string;

  constructor(worker: string) {
    this.worker = worker;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, { store, seen }: Real): Promise<void> {
    const row = await store.read("shard", "s", signal);
    assert(row !== null);
    seen.set(this.worker, row);
    const { term, holder, checkpoint } = row;
    assertEquals({ term, holder, checkpoint }, model);
  }

  toString(): string {
    return `${this.worker} looks`;
  }
}

const workers = fc.constantFrom(...WORKERS);
const steps = fc.integer({ min: 0, max: 3 });

/** Progress from what the worker last saw, as a late or a repeated write would have it. */
function progressFrom(row: ShardRow, step: number) {
  const { checkpoint } = row;
  const from = checkpoint.kind === "sequence" ? Number(checkpoint.sequenceNumber) : 0;
  const next = checkpoint.kind === "shardEnd" ? checkpoint : at(from + step);
  return { checkpoint: next, checkpointAt: 0, millisBehindLatest: 0 };
}

const moves = [
  workers.map((name) => new Look(name)),
  workers.map((name) => new Move(name, "claim", false, claim)),
  fc.tuple(workers, steps).map(([name, step]) =>
    new Move(name, `advances by ${step}`, true, (row) => advance(row, progressFrom(row, step)))
  ),
  fc.tuple(workers, workers, steps).map(([name, to, step]) =>
    new Move(name, `gives to ${to}`, true, (row) => give(row, to, progressFrom(row, step)))
  ),
  fc.tuple(workers, steps).map(([name, step]) =>
    new Move(
      name,
      "releases",
      true,
      (row, { workerId }) => release(row, progressFrom(row, step), { stoppedBy: workerId }),
    )
  ),
  workers.map((name) =>
    new Move(name, "ends", true, (row) => end(row, { checkpointAt: 0, millisBehindLatest: 0 }))
  ),
  fc.tuple(workers, fc.uuid()).map(([name, id]) =>
    new Move(name, "asks", false, (row) => requestHandover(row, { to: name, id }))
  ),
  workers.map((name) => new Move(name, "clears", false, clearHandover)),
];

Deno.test("lease: no worker can harm another's turn, however late its write", async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands<Model, Real, false>(moves, { maxCommands: 60 }), async (cmds) => {
      const store = new MemoryLeaseStore();
      const { row } = await store.write(create(shardRow("s")), signal);
      assert(row !== null);
      await fc.asyncModelRun(() => ({
        model: { term: 0, holder: null, checkpoint: TRIM_HORIZON },
        real: { store, seen: new Map(WORKERS.map((name) => [name, row])) },
      }), cmds);
    }),
    { numRuns: 300 },
  );
});

const A = { workerId: "A", incarnation: "A-1" };
const PROGRESS = { checkpoint: at(7), checkpointAt: 5, millisBehindLatest: 9 };

/** A store with one row of a shard, and what becomes of it. */
async function storeWith(fields: Partial<ShardRow>): Promise<{
  readonly row: ShardRow;
  write(change: LeaseChange): Promise<ShardRow | "conflict" | null>;
}> {
  const store = new MemoryLeaseStore();
  const { row } = await store.write(create(shardRow("s", fields)), signal);
  assert(row !== null);
  return {
    row,
    write: async (change) => {
      const { kind, row } = await store.write(change, signal);
      return kind === "written" ? row : kind;
    },
  };
}

Deno.test("lease: a claim takes the shard, ends a request and the own refusal, and keeps the rest", async () => {
  const fields = {
    owner: "Z",
    holder: "Z-1",
    term: 4,
    checkpoint: at(7),
    stoppedBy: ["A", "B"],
    handover: { to: "B", id: "1" },
    parents: ["p"],
  };
  const { row, write } = await storeWith(fields);
  assertEquals(await write(claim(row, A)), {
    ...row,
    owner: "A",
    holder: "A-1",
    previousOwner: "Z",
    term: 5,
    because: "ownerDead",
    stoppedBy: ["B"],
    handover: null,
  });
  assertEquals(await write(claim(row, A)), "conflict", "a second claim of the same turn");
});

Deno.test("lease: a delayed checkpoint cannot bring an older one back", async () => {
  const { row, write } = await storeWith({ owner: "A", holder: "A-1", term: 1 });
  const delayed = advance(row, { ...PROGRESS, checkpoint: at(5) });
  await write(advance(row, PROGRESS));
  assertEquals(await write(delayed), "conflict");
});

Deno.test("lease: a process that restarted under the same name does not hold what the old one held", async () => {
  const { row, write } = await storeWith({ owner: "A", holder: "A-2", term: 1 });
  assertEquals(isHeldBy(row, A), false);
  assertEquals(await write(advance({ ...row, holder: "A-1" }, PROGRESS)), "conflict");
  assertEquals(await write(release({ ...row, holder: "A-1" }, PROGRESS)), "conflict");
});

Deno.test("lease: giving up writes checkpoint, term, refusal and request in one change", async () => {
  const handover = { to: "B", id: "1" };
  const held = { owner: "A", holder: "A-1", term: 4, handover };
  const given = await storeWith(held);
  assertEquals(await given.write(give(given.row, "B", PROGRESS, { answers: handover })), {
    ...given.row,
    ...PROGRESS,
    owner: "B",
    holder: null,
    previousOwner: "A",
    term: 5,
    because: "balance",
    handover: null,
  });
  const released = await storeWith(held);
  const parting = await released.write(release(released.row, PROGRESS, { stoppedBy: "A" }));
  assertEquals(parting, {
    ...released.row,
    ...PROGRESS,
    owner: null,
    holder: null,
    previousOwner: "A",
    term: 5,
    because: "leaving",
    handover: null,
    stoppedBy: ["A"],
  });
  const ended = await storeWith(held);
  const last = await ended.write(end(ended.row, { checkpointAt: 5, millisBehindLatest: 0 }));
  assert(last !== null && last !== "conflict");
  assertEquals([last.checkpoint, last.owner, last.term], [SHARD_END, null, 5]);
});

Deno.test("lease: a row says why the shard changed its owner last", () => {
  const request = { to: "B", id: "1" };
  const order = { kind: "stop", id: "1", at: 0 } as const;
  const held = shardRow("s", { owner: "A", holder: "A-1", handover: request, order });
  const reason = ({ set }: LeaseChange) => set === "delete" ? undefined : set.because;
  assertEquals(reason(claim(shardRow("s"), A)), "free");
  assertEquals(reason(claim(held, { workerId: "A", incarnation: "A-2" })), "ownRow");
  const given = shardRow("s", { owner: "A", because: "balance" });
  assertEquals(reason(claim(given, A)), "balance", "why it was given says more");
  const isOrder = true;
  assertEquals(reason(give(held, "B", PROGRESS, { answers: { ...request, isOrder } })), "ordered");
  assertEquals(reason(release(held, PROGRESS, { obeys: order })), "halted");
  assertEquals(reason(release(held, PROGRESS, { because: "recordFailed" })), "recordFailed");
  assertEquals(reason(end(held, PROGRESS)), "ended");
  assertEquals(reason(rewind(held, TRIM_HORIZON)), "rewound");
});

Deno.test("lease: an answer to a request that was taken back is refused", async () => {
  const handover = { to: "B", id: "1" };
  const { row, write } = await storeWith({ owner: "A", holder: "A-1", term: 4, handover });
  await write(clearHandover(row));
  assertEquals(await write(give(row, "B", PROGRESS, { answers: handover })), "conflict");
});

Deno.test("lease: a request is addressed to the owner that was seen, one at a time", async () => {
  const { row, write } = await storeWith({ owner: "A", holder: "A-1", term: 4 });
  const asked = requestHandover(row, { to: "B", id: "1" });
  assertEquals(
    await write(requestHandover({ ...row, owner: "Z" }, { to: "B", id: "1" })),
    "conflict",
  );
  assertEquals(await write(requestHandover({ ...row, term: 3 }, { to: "B", id: "1" })), "conflict");
  assert(await write(asked) !== "conflict");
  assertEquals(await write(requestHandover(row, { to: "C", id: "2" })), "conflict");
  assertEquals(await write(clearHandover({ ...row, handover: { to: "C", id: "2" } })), "conflict");
});

Deno.test("lease: a refusal is added once, and frees what was only given", async () => {
  const free = await storeWith({ term: 4, stoppedBy: ["B"] });
  const refused = await free.write(refuse(free.row, "A"));
  assertEquals(refused, { ...free.row, stoppedBy: ["B", "A"] });
  assertEquals(await free.write(refuse({ ...free.row, stoppedBy: ["B", "A"] }, "A")), refused);
  const given = await storeWith({ term: 4, owner: "A" });
  assertEquals(await given.write(refuse(given.row, "A")), {
    ...given.row,
    owner: null,
    previousOwner: "A",
    term: 5,
    because: "refused",
    stoppedBy: ["A"],
  });
});

Deno.test("lease: what was given can be passed on as long as it is not taken", async () => {
  const given = await storeWith({ term: 4, owner: "A", previousOwner: "C" });
  assertEquals(await given.write(passOn(given.row, "B", "leaving")), {
    ...given.row,
    owner: "B",
    term: 5,
    because: "leaving",
  });
  assertEquals(await given.write(passOn(given.row, "B", "leaving")), "conflict");
  const taken = await storeWith({ term: 4, owner: "A", holder: "A/1" });
  assertEquals(
    await taken.write(passOn({ ...taken.row, holder: null }, "B", "leaving")),
    "conflict",
  );
});

Deno.test("lease: only the row of a finished shard can be forgotten, and a row is created once", async () => {
  const open = await storeWith({ term: 4 });
  assertEquals(await open.write(forget(open.row)), "conflict");
  assertEquals(await open.write(create(shardRow("s"))), "conflict");
  const ended = await storeWith({ term: 4, checkpoint: SHARD_END });
  assertEquals(await ended.write(forget(ended.row)), null);
});
