// Owns: what the inside of a thread does with what the outside says, without a thread.
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { SourceRecord } from "../../src/ports.ts";
import type { ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { packError } from "../../src/sandbox/packed_error.ts";
import { packRecords } from "../../src/sandbox/packing.ts";
import { type FromThread, Progress, SHARED } from "../../src/sandbox/protocol.ts";
import { ThreadSide } from "../../src/sandbox/thread_side.ts";
import { dynamoSink } from "../../src/sink/dynamo_sink.ts";
import { tumblingWindows } from "../../src/windows/tumbling_windows.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

/** The inside of a thread with a processor, by hand; and what it says. */
interface Started {
  readonly side: ThreadSide;
  readonly posted: FromThread[];
}

function start(source: ProcessorSource): Started {
  const posted: FromThread[] = [];
  const side = new ThreadSide({
    settings: {
      processTimeout: 0,
      checkpointMode: "manual",
      isSandboxed: false,
      running: new SharedArrayBuffer(4),
    },
    clock: new VirtualClock(),
    source,
    post: (message) => void posted.push(message),
  });
  return { side, posted };
}

/** One that runs records. */
function running(
  process: NonNullable<RecordProcessor["process"]>,
  places: readonly Partial<SourceRecord>[],
): Started {
  const { side, posted } = start({ process });
  const records = places.map((place) =>
    new DeliveredRecord("s", {
      sequenceNumber: "1",
      partitionKey: "key",
      data: new Uint8Array(),
      approximateArrivalTimestamp: 0,
      ...place,
    })
  );
  const context = {
    shardId: "s",
    workerId: "A",
    streamName: "orders",
    attempt: 1,
    millisBehindLatest: 0,
    term: 1,
  };
  const progress = new Progress().memory;
  const work = { kind: "run", context, records: packRecords(records), progress } as const;
  side.receive({ kind: "call", id: 1, processor: SHARED, work });
  return { side, posted };
}

Deno.test("thread: a checkpoint of a lost shard that nobody waits for harms nobody", async () => {
  const { side, posted } = running((_record, { checkpoint }) => void checkpoint(), [{}]);
  await settled();
  const [request] = posted.filter((message) => message.kind === "checkpoint");
  assertEquals(request?.position?.sequenceNumber, "1");
  const error = packError(new Error("it is lost"));
  side.receive({ kind: "checkpointed", id: request?.id ?? NaN, error });
  await settled(); // A rejection that nobody handles would fail this test.
  assertEquals(posted.map(({ kind }) => kind), ["ready", "checkpoint", "reply"]);
});

Deno.test("thread: a checkpoint within an aggregate names the record in it, at its end the whole", async () => {
  const { posted } = running((record, { checkpoint }) => void checkpoint(record), [
    { subSequenceNumber: 0, isLastOfAggregate: false },
    { subSequenceNumber: 1, isLastOfAggregate: true },
  ]);
  await settled();
  const requests = posted.filter((message) => message.kind === "checkpoint");
  assertEquals(requests.map(({ position }) => position), [
    { sequenceNumber: "1", subSequenceNumber: 0 },
    { sequenceNumber: "1", subSequenceNumber: undefined },
  ]);
});

/** What runs in no thread, and what is to be done instead. */
const REFUSED: readonly (readonly [string, ProcessorSource, string])[] = [
  [
    "a processor that writes with the checkpoint",
    dynamoSink({ items: () => [] }),
    "run it without --threads and --sandbox",
  ],
  [
    "a processor of windows",
    tumblingWindows({ size: "1m", initial: () => 0, add: (n) => n + 1, close() {} }),
    "leave out --threads and --sandbox",
  ],
];

for (const [what, source, remedy] of REFUSED) {
  Deno.test(`thread: ${what} is refused when it is loaded, or made`, async () => {
    assertThrows(() => start(source), TypeError, remedy);
    const { side, posted } = start((shardId) =>
      typeof source === "function" ? source(shardId) : source
    );
    side.receive({ kind: "call", id: 1, processor: 1, work: { kind: "make", shardId: "s" } });
    await settled();
    const [reply] = posted.filter((message) => message.kind === "reply");
    const { name, message } = Object(reply?.error);
    assertEquals(name, "TypeError");
    assertStringIncludes(message, remedy);
  });
}

Deno.test("thread: items that are written with the checkpoint fail their record by name", async () => {
  const { posted } = running((_record, { transact }) => transact([]), [{}]);
  await settled();
  const [reply] = posted.filter((message) => message.kind === "reply");
  assertEquals([reply?.value, Object(reply?.error).name], [0, "TypeError"]);
});
