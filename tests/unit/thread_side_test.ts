// Owns: what the inside of a thread does with what the outside says, without a thread.
import { assertEquals } from "@std/assert";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { packError } from "../../src/sandbox/packed_error.ts";
import { packRecords } from "../../src/sandbox/packing.ts";
import { type FromThread, Progress, SHARED } from "../../src/sandbox/protocol.ts";
import { ThreadSide } from "../../src/sandbox/thread_side.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

Deno.test("thread: a checkpoint of a lost shard that nobody waits for harms nobody", async () => {
  const posted: FromThread[] = [];
  const side = new ThreadSide({
    settings: {
      processTimeout: 0,
      checkpointMode: "manual",
      isSandboxed: false,
      running: new SharedArrayBuffer(4),
    },
    clock: new VirtualClock(),
    source: { process: (_record, { checkpoint }) => void checkpoint() },
    post: (message) => void posted.push(message),
  });
  const record = new DeliveredRecord("s", {
    sequenceNumber: "1",
    partitionKey: "key",
    data: new Uint8Array(),
    approximateArrivalTimestamp: 0,
  });
  const context = {
    shardId: "s",
    workerId: "A",
    streamName: "orders",
    attempt: 1,
    millisBehindLatest: 0,
    term: 1,
  };
  side.receive({
    kind: "call",
    id: 1,
    processor: SHARED,
    work: {
      kind: "run",
      context,
      records: packRecords([record]),
      progress: new Progress().memory,
    },
  });
  await settled();
  const [request] = posted.filter((message) => message.kind === "checkpoint");
  assertEquals(request?.position?.sequenceNumber, "1");
  const error = packError(new Error("it is lost"));
  side.receive({ kind: "checkpointed", id: request?.id ?? NaN, error });
  await settled(); // A rejection that nobody handles would fail this test.
  assertEquals(posted.map(({ kind }) => kind), ["ready", "checkpoint", "reply"]);
});

Deno.test("thread: a checkpoint within an aggregate names the record in it, at its end the whole", async () => {
  const posted: FromThread[] = [];
  const side = new ThreadSide({
    settings: {
      processTimeout: 0,
      checkpointMode: "manual",
      isSandboxed: false,
      running: new SharedArrayBuffer(4),
    },
    clock: new VirtualClock(),
    source: { process: (record, { checkpoint }) => void checkpoint(record) },
    post: (message) => void posted.push(message),
  });
  const records = [false, true].map((isLastOfAggregate, subSequenceNumber) =>
    new DeliveredRecord("s", {
      sequenceNumber: "7",
      subSequenceNumber,
      isLastOfAggregate,
      partitionKey: "key",
      data: new Uint8Array(),
      approximateArrivalTimestamp: 0,
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
  side.receive({
    kind: "call",
    id: 1,
    processor: SHARED,
    work: {
      kind: "run",
      context,
      records: packRecords(records),
      progress: new Progress().memory,
    },
  });
  await settled();
  const requests = posted.filter((message) => message.kind === "checkpoint");
  assertEquals(requests.map(({ position }) => position), [
    { sequenceNumber: "7", subSequenceNumber: 0 },
    { sequenceNumber: "7", subSequenceNumber: undefined },
  ]);
});
