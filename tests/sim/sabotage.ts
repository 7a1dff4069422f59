// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: the proof that the checkers see: one-line mutants of `src/`, each of which a seed must catch.
 * Must not: touch the files that it mutates; it works on a copy.
 * Called by: people, as `deno run -A tests/sim/sabotage.ts [--seeds N] [name]`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";

/** One line of `src/` made wrong. */
interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const MUTANTS: readonly Mutant[] = [
  {
    name: "a claim does not expect the term",
    file: "core/lease.ts",
    from: "    expect: { term: row.term },\n    set: {\n      owner: claimant.workerId,",
    to: "    expect: {},\n    set: {\n      owner: claimant.workerId,",
  },
  {
    name: "an owner's write does not expect owner, holder and term",
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
    name: "the fence never goes down",
    file: "runtime/heartbeat.ts",
    from: "return this.leftMs > 0;",
    to: "return this.leftMs > -1e15;",
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
    name: "a record is marked before it is processed",
    file: "runtime/record_attempts.ts",
    from: "  const result = await runRecords(run);\n  const { finished } = result;",
    to:
      "  onFinished(records.length);\n  const result = await runRecords(run);\n  const { finished } = result;",
  },
  {
    name: "a child is ready before its parents ended",
    file: "core/lineage.ts",
    from: "return parent === undefined || isEnded(parent);",
    to: "return parent === undefined || parent.owner === null || isEnded(parent);",
  },
  {
    name: "no second look after a write in doubt",
    file: "runtime/lease_keeper.ts",
    from:
      "        if (inDoubt !== null && row !== null && isParting(inDoubt) && wasApplied(inDoubt, row)) {",
    to:
      "        if (false as boolean && inDoubt !== null && row !== null && wasApplied(inDoubt, row)) {",
  },
  {
    name: "a conflict is a loss",
    file: "runtime/lease_keeper.ts",
    from: "if (row !== null && isHeldBy(row, claimant) && row.term === this.term) {",
    to: "if (false as boolean && row !== null) {",
  },
  {
    name: "any row with our checkpoint is ours",
    file: "runtime/lease_keeper.ts",
    from: "isParting(inDoubt) && ",
    to: "",
  },
  {
    name: "writes of a lease do not queue",
    file: "runtime/lease_keeper.ts",
    from: "readonly #queue = new SerialQueue();",
    to: "readonly #queue = { run: <T>(work: () => Promise<T>): Promise<T> => work() };",
  },
  {
    name: "expired requests are never cleared",
    file: "runtime/survey.ts",
    from: "this.#age(turnOf(row)) >= expiry",
    to: "this.#age(turnOf(row)) >= expiry + 1e15",
  },
  {
    name: "heartbeats are ignored",
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
    name: "wall clocks are compared",
    file: "core/liveness.ts",
    from:
      "const stoodStill = before?.row.incarnation === row.incarnation && before.row.beat === row.beat;\n    return [row.id, { row, since: stoodStill ? before.since : now }];",
    to: "return [row.id, { row, since: row.beatAt - 1_767_225_600_000 }];",
  },
  {
    name: "a handover is asked at one ahead",
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
    from:
      "expect: options.answers === undefined ? held(row) : { ...held(row), handover: options.answers },",
    to: "expect: held(row),",
  },
  {
    name: "a shard is given away with its old checkpoint",
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
    file: "runtime/lease_keeper.ts",
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
    from: "if (lease === undefined || lease.isParting) continue;",
    to: "if (lease === undefined) continue;",
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
];

/** A copy of the project, with one line made wrong. */
async function mutate(mutant: Mutant): Promise<string> {
  const root = new URL("../../", import.meta.url).pathname;
  const copy = await Deno.makeTempDir({ prefix: "mutant-" });
  for (const part of ["src", "tests/sim", "std", "deno.json", "deno.lock"]) {
    await copyAll(`${root}${part}`, `${copy}/${part}`);
  }
  const path = `${copy}/src/${mutant.file}`;
  const text = await Deno.readTextFile(path);
  if (text.split(mutant.from).length !== 2) {
    throw new Error(`Cannot make mutant "${mutant.name}": its line is not once in ${mutant.file}`);
  }
  await Deno.writeTextFile(path, text.replace(mutant.from, () => mutant.to));
  return copy;
}

async function copyAll(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    await copyAll(`${from}/${name}`, `${to}/${name}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], { string: ["seeds"] });
  const [only = ""] = flags._.map(String);
  const seeds = String(flags.seeds ?? 200);
  let survivors = 0;
  for (const mutant of MUTANTS) {
    if (!mutant.name.includes(only)) continue;
    const copy = await mutate(mutant);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "tests/sim/run.ts", "--seeds", seeds],
      cwd: copy,
      stderr: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    const found = text.match(/^Seed (\d+) fails at \d+ ms: (.{0,60})/m);
    if (code === 0 || found === null) survivors += 1;
    console.log(
      found === null
        ? `SURVIVES  ${mutant.name}`
        : `seed ${found[1]?.padStart(3)}  ${mutant.name}  (${found[2]})`,
    );
    await Deno.remove(copy, { recursive: true });
  }
  return survivors === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
