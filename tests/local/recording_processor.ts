// Writes each record to a file of its own worker before it counts as processed: what is in the files survives kill -9.
// `process.env` of the worker says where.
import type { RecordProcessor } from "../../mod.ts";

const path = Deno.env.get("RECORDING_PATH");
if (path === undefined) throw new Error("RECORDING_PATH is not set");
const file = Deno.openSync(path, { append: true, create: true, write: true });
const encoder = new TextEncoder();

const processor: RecordProcessor = {
  process(record, { term, workerId }) {
    const [key = "", index = ""] = record.text().split(" ");
    const { shardId, sequenceNumber } = record;
    const at = performance.timeOrigin + performance.now();
    const line = { key, index: Number(index), shardId, sequenceNumber, term, workerId, at };
    file.writeSync(encoder.encode(JSON.stringify(line) + "\n"));
  },
};

export default processor;
