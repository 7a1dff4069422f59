/**
 * Owns: the mutants: one line of `src/` each, made wrong; those of leases and workers here.
 * Must not: run anything.
 * Called by: `sabotage.ts`, `sabotage_test.ts`.
 *
 * @module
 */

import { RECORD_MUTANTS } from "./record_mutants.ts";
import { WINDOW_MUTANTS } from "./window_mutants.ts";

/** One line of `src/` made wrong. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Every mutant. */
export const MUTANTS: readonly Mutant[] = [
  ...RECORD_MUTANTS,
  ...WINDOW_MUTANTS,
  {
    name: "no term check: a claim does not expect the term",
    file: "core/lease.ts",
    from:
      "    expect: { term: row.term, order: row.order },\n    set: {\n      owner: claimant.workerId,",
    to: "    expect: { order: row.order },\n    set: {\n      owner: claimant.workerId,",
  },
  {
    name: "an order that was given meanwhile is not seen by a claim",
    file: "core/lease.ts",
    from:
      "    expect: { term: row.term, order: row.order },\n    set: {\n      owner: claimant.workerId,",
    to: "    expect: { term: row.term },\n    set: {\n      owner: claimant.workerId,",
  },
  {
    name: "a shard that an operator stopped is free",
    file: "core/balance.ts",
    from: "!isEnded(row) && !isHalted(row) &&\n    (row.owner === null",
    to: "!isEnded(row) &&\n    (row.owner === null",
  },
  {
    name: "its holder does not heed an order to stop",
    file: "runtime/shard_roster.ts",
    from: "    if (here.halt !== null) return;\n    here.halt = row.order;",
    to: "    if (here.halt === null) return;\n    here.halt = row.order;",
  },
  {
    name: "an order to start does not undo the stops of a worker",
    file: "runtime/shard_roster.ts",
    from:
      'if (order?.kind === "start" && stop !== undefined && stop.order !== order.id) this.start(id);',
    to:
      'if (order?.kind === "start" && stop !== undefined && stop.order === order.id) this.start(id);',
  },
  {
    name: "an order to stop is obeyed although it was taken back",
    file: "runtime/lease_keeper.ts",
    from: "obeys !== undefined && row.order?.id !== obeys.id",
    to: "obeys !== undefined && row.order === undefined",
  },
  {
    name: "no term check: an owner's write does not expect owner, holder and term",
    file: "core/lease.ts",
    from:
      "return { owner: row.owner, holder: row.holder, term: row.term, checkpoint: row.checkpoint };",
    to: "return { checkpoint: row.checkpoint };",
  },
  {
    name: "a checkpoint does not expect the one before",
    file: "core/lease.ts",
    from: "term: row.term, checkpoint: row.checkpoint };",
    to: "term: row.term };",
  },
  {
    name: "self-fence off: the fence never goes down",
    file: "runtime/heartbeat.ts",
    from:
      "this.#until = sent.at + heartbeatTimeout * 0.9;\n    this.#wallUntil = sent.wallAt + heartbeatTimeout * 0.9;",
    to:
      "this.#until = sent.at + heartbeatTimeout * 1e6;\n    this.#wallUntil = sent.wallAt + heartbeatTimeout * 1e6;",
  },
  {
    name: "the fence is counted from the answer, with no margin",
    file: "runtime/heartbeat.ts",
    from: "    fence.raise(sent, heartbeatTimeout);\n    // After",
    to:
      "    fence.raise({ at: clock.monotonic(), wallAt: clock.now() }, heartbeatTimeout * 1.2);\n    // After",
  },
  {
    name: "nobody watches the fence",
    file: "runtime/heartbeat.ts",
    from: "if (fence.isUntold) {\n        fence.lower();\n        onFenced();",
    to: "if (fence.leftMs < -1e15) {\n        fence.lower();\n        onFenced();",
  },
  {
    name: "child before parent: a child is ready before its parents ended",
    file: "core/lineage.ts",
    from: "return parent === undefined || isEnded(parent);",
    to: "return parent === undefined || parent.owner === null || isEnded(parent);",
  },
  {
    name: "no re-read after an ambiguous write: the row in doubt is not looked at",
    file: "runtime/held_row.ts",
    from:
      "        if (inDoubt !== null && row !== null && isParting(inDoubt) && wasApplied(inDoubt, row)) {",
    to:
      "        if (false as boolean && inDoubt !== null && row !== null && wasApplied(inDoubt, row)) {",
  },
  {
    name: "a conflict is a loss",
    file: "runtime/held_row.ts",
    from: "if (row !== null && this.#isOurs(row)) {",
    to: "if (false as boolean && row !== null) {",
  },
  {
    name: "any row with our checkpoint is ours",
    file: "runtime/held_row.ts",
    from: "isParting(inDoubt) && ",
    to: "",
  },
  {
    name: "per-lease queue off: writes of a lease do not queue",
    file: "runtime/lease_keeper.ts",
    from: "readonly #queue = new SerialQueue();",
    to: "readonly #queue = { run: <T>(work: () => Promise<T>): Promise<T> => work() };",
  },
  {
    name: "expired request never cleared",
    file: "runtime/survey.ts",
    from: "this.#age(turnOf(row)) >= expiry",
    to: "this.#age(turnOf(row)) >= expiry + 1e15",
  },
  {
    name: "heartbeat ignored: a worker counts as dead long before its time-out",
    file: "core/liveness.ts",
    from: "return now - sighting.since < sighting.row.heartbeatTimeout;",
    to: "return now - sighting.since < sighting.row.heartbeatTimeout / 10;",
  },
  {
    name: "the dead are never found",
    file: "core/liveness.ts",
    from: "return now - sighting.since < sighting.row.heartbeatTimeout;",
    to: "return now >= sighting.since;",
  },
  {
    name: "wall clock compared: liveness by the time that the other wrote",
    file: "core/liveness.ts",
    from:
      "const stoodStill = before?.row.incarnation === row.incarnation && before.row.beat === row.beat;\n    return [row.id, { row, since: stoodStill ? before.since : now }];",
    to: "return [row.id, { row, since: row.beatAt - 1_767_225_600_000 }];",
  },
  {
    name: "handover asked at one ahead",
    file: "core/balance.ts",
    from: "if (donor === undefined || (loads.get(donor) ?? 0) < mine + 2) break;",
    to: "if (donor === undefined || (loads.get(donor) ?? 0) < mine + 1) break;",
  },
  {
    name: "nobody asks for shards",
    file: "core/balance.ts",
    from: "while (mine < fairShare) {",
    to: "while (mine > fairShare) {",
  },
  {
    name: "a request is granted although it was taken back",
    file: "core/lease.ts",
    from: "...options.answers !== undefined && { handover: options.answers },",
    to: "...options.answers === null && { handover: options.answers },",
  },
  {
    name: "release without checkpoint: a shard is given up with its old one",
    file: "core/lease.ts",
    from: "      ...progress,\n      ...stoppedBy,",
    to: "      checkpoint: row.checkpoint,\n      ...stoppedBy,",
  },
  {
    name: "a row that names me is not mine to retake",
    file: "core/balance.ts",
    from:
      "(row.owner === view.self || assignment.get(row.id) === view.self || view.isOverdue(row))",
    to: "(row.holder === null && row.owner === view.self || assignment.get(row.id) === view.self)",
  },
  {
    name: "the checkpoint is the one that was read before the claim",
    file: "runtime/take_shard.ts",
    from: "  return new Lease(now, deps);",
    to: "  return new Lease({ ...now, checkpoint: row.checkpoint }, deps);",
  },
  {
    name: "the rows of the children come after the end of the parent",
    file: "runtime/shard_roster.ts",
    from: "        await this.#deps.onEnding(outcome.children);\n",
    to: "",
  },
  {
    name: "a stop does not finish what is in hand",
    file: "runtime/worker.ts",
    from: "    await this.#roster.drain();",
    to: "    await this.#roster.giveUp();",
  },
  {
    name: "a silent worker is no news",
    file: "runtime/membership.ts",
    from: "const before = this.#aliveBefore;",
    to: "const before = this.alive();",
  },
  {
    name: "a parent that was not listed is gone",
    file: "runtime/survey.ts",
    from: "row.parents.filter((parent) => !known.has(parent))",
    to: "row.parents.filter((parent) => known.has(parent + parent))",
  },
  {
    name: "a child has a row before its other parent",
    file: "runtime/shard_sync.ts",
    from: 'if (await store.read("shard", parent, signal) !== null) continue;',
    to: 'if (await store.read("shard", parent, signal) !== undefined) continue;',
  },
  {
    name: "a look during a handover takes it for a loss",
    file: "runtime/shard_roster.ts",
    from: "if (here === undefined || here.lease.isParting) continue;",
    to: "if (here === undefined) continue;",
  },
  {
    name: "a namesake's row is deleted at once",
    file: "runtime/heartbeat.ts",
    from: "const isSure = clock.monotonic() >= this.#predecessorUntil;",
    to: "const isSure = true as boolean;",
  },
  {
    name: "the heirs are not told before leaving",
    file: "runtime/worker.ts",
    from: "await Promise.all([this.#heartbeat.deregister(signal), this.#nudges.settled()]);",
    to: "await this.#heartbeat.deregister(signal);",
  },
  {
    name: "namesakes do not notice each other",
    file: "runtime/membership.ts",
    from: "if (own !== undefined && own.incarnation !== claimant.incarnation) {",
    to: "if (false as boolean) {",
  },
  {
    name: "request not addressed to owner and term",
    file: "core/lease.ts",
    from: "expect: { owner: row.owner, term: row.term, handover: null },",
    to: "expect: { handover: null },",
  },
  {
    name: "the fence does not look at the wall clock",
    file: "runtime/heartbeat.ts",
    from: "this.#wallUntil = sent.wallAt + heartbeatTimeout * 0.9;",
    to: "this.#wallUntil = Infinity;",
  },
  {
    name: "a beat does not expect the one before",
    file: "runtime/heartbeat.ts",
    from: "expect: { incarnation, beat: this.#shownBeat },",
    to: "expect: { incarnation },",
  },
  {
    name: "the children of a shard are not taken at once",
    file: "runtime/worker.ts",
    from: "    this.#survey.adopt(children.map((child) => child.id));\n",
    to: "",
  },
  {
    name: "a claim counts although the fence was down in between",
    file: "runtime/take_shard.ts",
    from: 'if (!deps.fence.isUp || deps.fence.falls !== falls) return "too late";',
    to: "",
  },
  {
    name: "a registration that is sent again shows the same beat",
    file: "runtime/heartbeat.ts",
    from: "    this.#beat += 1;\n    return {",
    to: "    return {",
  },
  {
    name: "checkpoints are written as soon as possible",
    file: "runtime/lease_keeper.ts",
    from: "const wait = this.#wroteAt + checkpointFrequency - clock.monotonic();",
    to: "const wait = this.#wroteAt + checkpointFrequency / 3 - clock.monotonic();",
  },
  {
    name: "every look is for everybody",
    file: "runtime/survey.ts",
    from: 'return period * dutyFactor(self, membership.takers(), "look");',
    to: 'return period / 2 * dutyFactor(self, membership.takers(), "look");',
  },
  {
    name: "a single look says that a shard has left the stream",
    file: "runtime/shard_sync.ts",
    from: "[id, this.#since.get(id) ?? look.until]",
    to: "[id, this.#since.get(id) ?? -Infinity]",
  },
  {
    name: "two looks within a moment say that a shard has left the stream",
    file: "runtime/shard_sync.ts",
    from: "const LASTING_SHARE = 0.85;",
    to: "const LASTING_SHARE = 0;",
  },
  {
    name: "sink: items are written, and the checkpoint is not",
    file: "runtime/held_row.ts",
    from: "await transact(change, { items, token }, signal);",
    to: "await transact({ ...change, set: {} }, { items, token }, signal);",
  },
  {
    name: "sink: a transaction expects nothing of the row",
    file: "runtime/held_row.ts",
    from: "await transact(change, { items, token }, signal);",
    to: "await transact({ ...change, expect: {} }, { items, token }, signal);",
  },
  {
    name: "sink: a transaction whose reply was lost counts as written",
    file: "runtime/held_row.ts",
    from: "        failures += 1;",
    to: '        if (inDoubt !== null && until !== signal) return "written";',
  },
  {
    name: "sink: what was left to the next owner counts as finished",
    file: "runtime/record_run.ts",
    from: "if (user.isLeftOff) return { finished };",
    to: "if (user.isLeftOff && finished < 0) return { finished };",
  },
  {
    name: "sink: what was left to the next owner has failed",
    file: "runtime/user_code.ts",
    from: "return this.#leftOff !== undefined;",
    to: "return false;",
  },
  {
    name: "sink: a shard is given up at what is finished, whatever its row says",
    file: "runtime/lease_keeper.ts",
    from: "compareCheckpoints(written, this.#finished) > 0 ? written : this.#finished",
    to: "compareCheckpoints(written, this.#finished) > 9 ? written : this.#finished",
  },
];
