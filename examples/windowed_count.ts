// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// How many records each partition key has per minute, as a processor to run:
//   kinesix run --app counts --stream orders --processor examples/windowed_count.ts
import { type ClosedWindow, type RecordProcessorFactory, tumblingWindows } from "@reacto/kinesix";

/** Records by partition key. */
export type Counts = Readonly<Record<string, number>>;

/** Counts by key and minute; `save` gets each window, maybe more than once, under the same id. */
export function countPerMinute(
  save: (window: ClosedWindow<Counts>) => void | Promise<void>,
): RecordProcessorFactory {
  return tumblingWindows<Counts>({
    size: "1m",
    grace: "2s",
    initial: () => ({}),
    add: (counts, { partitionKey }) => ({
      ...counts,
      [partitionKey]: (counts[partitionKey] ?? 0) + 1,
    }),
    close: save,
    // Each child gets the keys whose records it gets from now on.
    split(counts, child) {
      const own = Object.entries(counts).filter(([key]) => child.owns(key));
      return own.length === 0 ? undefined : Object.fromEntries(own);
    },
    // No key is in two shards at the same time, but one may have been in both within the window.
    merge(a, b) {
      const added = Object.entries(b).map(([key, count]) => [key, (a[key] ?? 0) + count]);
      return { ...a, ...Object.fromEntries(added) };
    },
  });
}

const processor: RecordProcessorFactory = countPerMinute(({ id, state, isLate }) =>
  console.log(id, state, isLate ? "late" : "")
);

export default processor;
