// Owns: a processor in threads of its own does what it does in the main thread.
import { assertEquals } from "@std/assert";
import { Rig } from "./thread_testing.ts";

Deno.test("threads: records go over and back", async () => {
  await using rig = await Rig.start({
    code: `export default { process(record, context) {
      const { signal, checkpoint, ...rest } = context;
      log(JSON.stringify([record.text(), record, rest])) } }`,
    threads: 1,
    records: [["k", "1"], ["k", "2"]],
  });
  await rig.until("2 records", () => rig.processed() === 2);
  console.log(rig.lines(), rig.events.map((e) => JSON.stringify(e)));
});
