// A program that waits for nothing, and whose app is replaced by a second one under the same worker id.
import { ReactoKinesixApp } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";

const ports = { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 1 }) };
const start = (): Promise<ReactoKinesixApp> =>
  ReactoKinesixApp.createNew({
    appName: "App",
    streamName: "stream",
    workerId: "twin",
    processor: { process() {} },
    config: { heartbeat: 200, heartbeatTimeout: 1_000 },
    ports,
  });

await start();
await start();
