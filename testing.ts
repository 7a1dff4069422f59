/**
 * For the tests of those who use the package: a stream and a state table in memory, a clock that a test moves, workers that crash, and
 * faults. No network, no permission, no waiting.
 *
 * @example
 * ```ts
 * import { testKit } from "@reacto/kinesix/testing";
 *
 * const sink: string[] = [];
 * await using kit = await testKit({ processor: { process: (record) => void sink.push(record.text()) } });
 * kit.put("customer-1", "hello");
 * await kit.runUntilIdle();
 * if (sink[0] !== "hello") throw new Error("it was processed");
 * ```
 *
 * @module
 */

export { MemoryLeaseStore, MemoryStream } from "./src/adapters/memory.ts";
export { FaultyPorts } from "./src/testing/faulty_ports.ts";
export { aggregate, processContext, record } from "./src/testing/records.ts";
export { simulate, SimulationError } from "./src/testing/simulate.ts";
export { TestKit, testKit } from "./src/testing/test_kit.ts";
export { SeededRandom, VirtualClock } from "./src/testing/virtual_clock.ts";

export type { MemoryLeaseStoreOptions, MemoryStreamOptions } from "./src/adapters/memory.ts";
export type { Fault, FaultRule, FaultyPortsOptions, PortCall } from "./src/testing/faulty_ports.ts";
export type { AggregatedRecord, Payload, RecordOptions } from "./src/testing/records.ts";
export type { SimulatedSeed, SimulateOptions } from "./src/testing/simulate.ts";
export type { TestKitOptions } from "./src/testing/test_kit.ts";
export type { TestWorker, TestWorkerOptions } from "./src/testing/test_worker.ts";
export type { RecordObserver, SkippedRecord } from "./src/testing/user_calls.ts";
