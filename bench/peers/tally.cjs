/**
 * Owns: what a consumer on Node tells `peers.ts`: its first record, and what the second half of all records took.
 * Called by: `lifion.cjs`, `readable.cjs`, `kcl_node.cjs`.
 */

const { readFileSync } = require("node:fs");

/** A `PeerJob` of `install.ts`. */
exports.job = JSON.parse(process.argv[2]);

/** What was used so far; of this process, unless another one does the work. */
exports.measure = () => {
  const { user, system } = process.cpuUsage();
  const [, peakKb] = /VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
  return { cpuSeconds: (user + system) / 1e6, peakMb: Number(peakKb) / 1_024 };
};

let seen = 0;
let half = null;

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Counts records of a shard that were processed. */
exports.add = (shardId, records, bytes) => {
  const { records: target, isWatched } = exports.job;
  if (isWatched && records > 0) say({ kind: "batch", shardId });
  if (seen === 0 && records > 0) say({ kind: "first" });
  seen += records;
  if (half === null && seen >= target / 2) {
    half = { seen, at: performance.now(), cpuSeconds: exports.measure().cpuSeconds };
  }
  if (seen < target || target < 0) return;
  const { cpuSeconds, peakMb } = exports.measure();
  say({
    kind: "done",
    records: seen - half.seen,
    seconds: (performance.now() - half.at) / 1_000,
    cpuSeconds: cpuSeconds - half.cpuSeconds,
    peakMb,
    bytes,
  });
};

process.stdin.on("end", () => process.exit(0)).resume();
