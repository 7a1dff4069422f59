/**
 * Owns: the mutants of what a turn does with its records.
 * Called by: `mutants.ts`.
 *
 * @module
 */

import type { Mutant } from "./mutants.ts";

/** One line each, between the read of a record and its checkpoint. */
export const RECORD_MUTANTS: readonly Mutant[] = [
  {
    name: "checkpoint before finish: a record is marked before it is processed",
    file: "runtime/record_attempts.ts",
    from: "  const result = await runRecords(records, run, onFinished);",
    to:
      "  onFinished(records.length);\n  const result = await runRecords(records, run, onFinished);",
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
    from: "([_, { partitionKey }]) => laneOf(partitionKey, count),",
    to: "([i, { partitionKey }]) => (laneOf(partitionKey, count) + i) % count,",
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
    from: "    this.#share(new Stretch(read, records.filter(isLeft), numbers.filter(isLeft)));\n",
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
];
