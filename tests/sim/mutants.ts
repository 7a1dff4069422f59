/**
 * Owns: the mutants: one line of `src/` each, made wrong.
 * Must not: run anything.
 * Called by: `sabotage.ts`, `sabotage_test.ts`.
 *
 * @module
 */

/** One line of `src/` made wrong. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Every mutant. */
export const MUTANTS: readonly Mutant[] = [
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
    name: "checkpoint before finish: a record is marked before it is processed",
    file: "runtime/record_attempts.ts",
    from: "  const result = await runRecords(run);\n  const { finished } = result;",
    to:
      "  onFinished(records.length);\n  const result = await runRecords(run);\n  const { finished } = result;",
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
    from: "if (row !== null && isHeldBy(row, claimant) && row.term === this.#term) {",
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
    name: "the progress passes an unfinished record",
    file: "core/progress.ts",
    from: "while (this.#isFinished[this.#head] === true) this.#head += 1;",
    to:
      "while (this.#isFinished[this.#head] === true || this.#isFinished[this.#head + 1] === true) {\n      this.#head += 1;\n    }",
  },
  {
    name: "two lanes for one key",
    file: "runtime/lanes.ts",
    from: "const lane = laneOf(record.partitionKey, count);",
    to: "const lane = (laneOf(record.partitionKey, count) + i) % count;",
  },
  {
    name: "with lanes a failed read goes on after what is finished",
    file: "runtime/record_runner.ts",
    from: "return this.#readTo;",
    to: "return this.#lease.readTo;",
  },
  {
    name: "the end of a shard does not wait for the lanes",
    file: "runtime/shard_runner.ts",
    from: '    outcome = await records.settled();\n    if (outcome === "done") outcome',
    to: '    if (outcome === "done") outcome',
  },
  {
    name: "a shard is given up with records in hand",
    file: "runtime/record_runner.ts",
    from: "    await this.#lanes.settled();\n    if (this.#defect",
    to: "    if (this.#defect",
  },
  {
    name: "of a batch that failed in part, all of it is tried again",
    file: "runtime/batch_attempts.ts",
    from: "this.#groups.push({ indexes: again,",
    to: "this.#groups.push({ indexes: group.indexes,",
  },
  {
    name: "a batch that failed in part is finished",
    file: "runtime/batch_attempts.ts",
    from:
      "this.#finish(failedAt.size === 0 ? indexes : indexes.filter((index) => !failedAt.has(index)));",
    to:
      'this.#finish(indexes);\n    if (failedAt.size > 0 && result.kind === "returned") return [];',
  },
  {
    name: "the second half of a batch comes first",
    file: "runtime/batch_attempts.ts",
    from:
      "{ indexes: indexes.slice(middle), attempt },\n      { indexes: indexes.slice(0, middle), attempt },",
    to:
      "{ indexes: indexes.slice(0, middle), attempt },\n      { indexes: indexes.slice(middle), attempt },",
  },
  {
    name: "the end of a shard leaves what is collected to its window",
    file: "runtime/record_runner.ts",
    from: "    this.#window.flush();\n    await this.#lanes.settled();",
    to: "    this.#window.isOpen || await this.#lanes.settled();",
  },
  {
    name: "what is left out by the filter is passed over what is in hand",
    file: "runtime/record_runner.ts",
    from:
      "    this.#share({ read, records: records.filter(isLeft), numbers: numbers.filter(isLeft) });\n",
    to: "    numbers.filter(isLeft).forEach((number) => this.#progress.finish(number));\n",
  },
  {
    name: "records that are too old are passed without a word",
    file: "runtime/record_attempts.ts",
    from: "const outcome = await user.giveUpTooOld(processor, first, last);",
    to:
      'const outcome = "done" as string === "lost" ? await user.giveUpTooOld(processor, first, last) : "done";',
  },
  {
    name: "whoever asks for room in memory gets it",
    file: "core/buffer_shares.ts",
    from: "const bytes = Math.min(ask.wanted, room);",
    to: "const bytes = ask.wanted;",
  },
  {
    name: "a turn that is over keeps its room in memory",
    file: "runtime/record_runner.ts",
    from: "    this.budget[Symbol.dispose]();\n",
    to: "",
  },
  {
    name: "put aside: a record is given up and goes nowhere",
    file: "runtime/user_code.ts",
    from: "if (failureDestination === undefined || mode.kind",
    to: "if (failureDestination !== undefined || mode.kind",
  },
  {
    name: "put aside: a record whose destination failed is passed",
    file: "runtime/put_aside.ts",
    from: "      const retryInMs = backoffMs(",
    to: '      if (attempt > 1) return "done";\n      const retryInMs = backoffMs(',
  },
  {
    name:
      "put aside: a record that waits for its destination at the end of a turn counts as finished",
    file: "runtime/record_attempts.ts",
    from: 'return next === "stop" ? "recordFailed" : outcome;',
    to: 'return next === "stop" ? "recordFailed" : "done";',
  },
  {
    name: "an aggregate of which a part is finished comes again from its beginning",
    file: "runtime/user_records.ts",
    from: "let place = isBegun ? (after.subSequenceNumber ?? -1) + 1 : 0;",
    to: "let place = isBegun ? 0 : 0;",
  },
  {
    name: "an aggregate counts as finished with the first record in it",
    file: "runtime/delivered_record.ts",
    from: "return subSequenceNumber === undefined || isLastOfAggregate(record)",
    to:
      "return subSequenceNumber === undefined || isLastOfAggregate(record) || subSequenceNumber === 0",
  },
  {
    name: "a reader: a record is finished when a loop takes it",
    file: "pull/delivery.ts",
    from: "this.#holder = holder.add(this);",
    to: "this.#holder = holder.add(this);\n    queueMicrotask(this.ack);",
  },
  {
    name: "a state is not written with its checkpoint",
    file: "runtime/lease_keeper.ts",
    from: "...state !== this.row.state && { state },",
    to: "...state === null && { state },",
  },
  {
    name: "what a parent left is dropped when one of its children has begun",
    file: "core/shard_state.ts",
    from: "rows.filter((row) => !hasBegun(row)).flatMap((row) => row.parents)",
    to: "rows.filter((row) => row.parents.length > 9).flatMap((row) => row.parents)",
  },
  {
    name: "a shard is read before its processor has begun with what there is",
    file: "runtime/shard_runner.ts",
    from: "const begun = await turn.reads.begin();",
    to: 'const begun = "done" as string as "done";',
  },
  {
    name: "what is in a window already is added again",
    file: "windows/tumbling_windows.ts",
    from: "if (this.#windows.has(record)) return;",
    to: 'if (record.sequenceNumber === "") return;',
  },
  {
    name: "a state that was written earlier and arrives late is taken",
    file: "core/lease.ts",
    from: "const last = progress.state === undefined ? {} : { checkpointAt: row.checkpointAt };",
    to: "const last = {};",
  },
  {
    name: "a child does not take up what its parents left",
    file: "runtime/shard_state.ts",
    from: "this.#left === null && !hasBegun(this.#row)",
    to: "this.#left !== null && !hasBegun(this.#row)",
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
    name: "sink: what became of a transaction is guessed when its reply is lost",
    file: "runtime/held_row.ts",
    from: "        if (inDoubt === null && isFinal(error)) throw error;",
    to: '        if (inDoubt !== null && until !== signal) return "withdrawn";',
  },
  {
    name: "sink: a shard is given up at what is finished, whatever its row says",
    file: "runtime/lease_keeper.ts",
    from: "compareCheckpoints(written, this.#finished) > 0 ? written : this.#finished",
    to: "compareCheckpoints(written, this.#finished) > 9 ? written : this.#finished",
  },
];
