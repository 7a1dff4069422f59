// Writes each record to a file before it counts as processed: what is in the file survives kill -9, and appends of several
// processes to one file are in the order in which they happened. `process.env` of the worker says where.
import type { RecordProcessor } from "../../mod.ts";

const path = Deno.env.get("RECORDING_PATH");
if (path === undefined) throw new Error("RECORDING_PATH is not set");
const slowEvery = Number(Deno.env.get("RECORDING_SLOW_EVERY") ?? Infinity);
const slowMs = Number(Deno.env.get("RECORDING_SLOW_MS") ?? 0);
const file = Deno.openSync(path, { append: true, create: true, write: true });
const encoder = new TextEncoder();
const { pid } = Deno;

const processor: RecordProcessor = {
  process(record, { term, workerId }) {
    const [key = "", index = ""] = record.text().split(" ");
    const { shardId, sequenceNumber } = record;
    const write = (): void => {
      const at = performance.timeOrigin + performance.now();
      const line = { key, index: Number(index), shardId, sequenceNumber, term, workerId, pid, at };
      file.writeSync(encoder.encode(JSON.stringify(line) + "\n"));
    };
    const isSlow = (Number(index) + Number(key.replace("key-", ""))) % slowEvery === 0;
    if (!isSlow) return write();
    return new Promise<void>((resolve) => setTimeout(resolve, slowMs)).then(write);
  },
};

export default processor;
