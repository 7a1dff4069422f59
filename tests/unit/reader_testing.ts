// Owns: readers on a stream and a table in memory, at a clock that tests move.
// Must not: assert anything.
// Called by: reader_test.ts and its neighbours.
import type { BatchDelivery, RecordDelivery } from "../../src/pull/delivery.ts";
import { readBatches, type Reader, type ReaderOptions, readRecords } from "../../src/reader.ts";
import type { AppEvent } from "../../src/events.ts";
import { settled } from "../virtual_clock.ts";
import type { Cluster } from "./app_testing.ts";

export const SHARD = "shardId-000000000000";

/** A reader, and every event of it. */
export interface TestReader<T> {
  readonly reader: Reader<T>;
  readonly events: readonly AppEvent[];
  /** The types of the events that tell of a failure. */
  failures(): readonly string[];
}

type More = Partial<Omit<ReaderOptions, "ports">>;

export function startRecords(
  cluster: Cluster,
  workerId: string,
  more: More = {},
): Promise<TestReader<RecordDelivery>> {
  return start(cluster, workerId, { more, read: readRecords });
}

export function startBatches(
  cluster: Cluster,
  workerId: string,
  more: More = {},
): Promise<TestReader<BatchDelivery>> {
  return start(cluster, workerId, { more, read: readBatches });
}

async function start<T>(
  cluster: Cluster,
  workerId: string,
  { more, read }: {
    readonly more: More;
    readonly read: (options: ReaderOptions) => Promise<Reader<T>>;
  },
): Promise<TestReader<T>> {
  const events: AppEvent[] = [];
  // The processor is a reader's own.
  const { processor: _, ...options } = cluster.options(workerId, { process: () => {} }, {
    onEvent: (event) => void events.push(event),
    ...more,
  });
  const reader = await cluster.clock.until(read({ ...more, ...options }));
  await settled();
  const failures = (): readonly string[] =>
    events.map(({ type }) => type).filter((type) => type.includes("failed"));
  return { reader, events, failures };
}

/** The next thing of an iterator. */
export async function take<T>(cluster: Cluster, iterator: AsyncIterator<T, undefined>): Promise<T> {
  const { value, done } = await cluster.clock.until(iterator.next());
  if (done) throw new Error("the loop ended");
  return value as T;
}

/** Where the checkpoint of the first shard is: the number of the record in the stream, from 1; 0 for none. */
export async function checkpointOf(cluster: Cluster, shardId: string = SHARD): Promise<number> {
  const { checkpoint } = await cluster.store.shard(shardId);
  return checkpoint.kind === "sequence" ? Number(checkpoint.sequenceNumber) : 0;
}

/** Leaves a loop, as `break` does. */
export async function leave<T>(
  cluster: Cluster,
  iterator: AsyncIterator<T, undefined>,
): Promise<void> {
  await cluster.clock.until(Promise.resolve(iterator.return?.()));
}
