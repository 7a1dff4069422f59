// Counts records by key in windows of two seconds, and appends each window that is closed to a file: what is there survives kill -9.
import { type RecordProcessorFactory, tumblingWindows } from "../../mod.ts";

const path = Deno.env.get("RECORDING_PATH");
if (path === undefined) throw new Error("RECORDING_PATH is not set");
const file = Deno.openSync(path, { append: true, create: true, write: true });
const encoder = new TextEncoder();

type Counts = Readonly<Record<string, number>>;

const processor: RecordProcessorFactory = tumblingWindows<Counts>({
  size: "2s",
  grace: "200ms",
  initial: () => ({}),
  add: (counts, { partitionKey }) => ({
    ...counts,
    [partitionKey]: (counts[partitionKey] ?? 0) + 1,
  }),
  close({ id, state, isLate }, { shardId, term }) {
    file.writeSync(encoder.encode(JSON.stringify({ id, state, isLate, shardId, term }) + "\n"));
  },
  split: (counts, child) =>
    Object.fromEntries(Object.entries(counts).filter(([key]) => child.owns(key))),
  merge: (a, b) => ({ ...a, ...b }),
});

export default processor;
