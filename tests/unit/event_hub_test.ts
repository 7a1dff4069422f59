// Owns: the delivery of events: in order, to everybody, whatever a listener does.
import { assertEquals, assertRejects } from "@std/assert";
import { EventHub } from "../../src/event_hub.ts";
import type { AppEvent } from "../../src/events.ts";

function found(shardId: string): AppEvent {
  return { type: "shard_found", shardId, parents: [], time: "", workerId: "A" };
}

/** A hub, and what it was told of listeners that threw. */
function build(first?: (event: AppEvent) => void) {
  const failures: string[] = [];
  const hub = new EventHub((type, error) => failures.push(`${type}: ${error}`), first);
  return { hub, failures };
}

Deno.test("B25: what happened before the hub was opened is delivered then, in order and once", () => {
  const at: string[] = [];
  const log: string[] = [];
  const { hub } = build((event) => at.push("shardId" in event ? `${event.shardId}` : ""));
  hub.deliver(found("1"));
  hub.deliver(found("2"));
  assertEquals(at, ["1", "2"], "onEvent is told at once");
  hub.add("shard_found", ({ shardId }) => log.push(shardId));
  assertEquals(log, []);
  hub.open();
  hub.deliver(found("3"));
  assertEquals(log, ["1", "2", "3"]);
});

Deno.test("B9: a listener that throws is told of, and harms neither the others nor the worker", () => {
  const { hub, failures } = build(() => {
    throw new Error("first");
  });
  const log: string[] = [];
  hub.open();
  hub.add("*", () => {
    throw new Error("any");
  });
  hub.add("*", ({ type }) => log.push(type));
  hub.deliver(found("1"));
  assertEquals(log, ["shard_found"]);
  assertEquals(failures, ["shard_found: Error: first", "shard_found: Error: any"]);
  const told = {
    type: "listener_failed",
    eventType: "",
    error: { name: "", message: "" },
  } as const;
  hub.deliver({ ...told, time: "", workerId: "A" });
  assertEquals(failures.length, 2, "a failure at the news of a failure ends there");
});

Deno.test("event hub: a listener is told its type only, once if it wants, and never after it was taken off", () => {
  const { hub } = build();
  hub.open();
  const log: string[] = [];
  const abort = new AbortController();
  const kept = (): void => void log.push("kept");
  hub.add("shard_found", () => void log.push("once"), { once: true });
  hub.add("shard_found", () => void log.push("until"), { signal: abort.signal });
  hub.add("shard_found", kept);
  hub.add("worker_started", () => void log.push("never"));
  hub.add("shard_found", () => void log.push("late"), { signal: AbortSignal.abort() });
  hub.deliver(found("1"));
  abort.abort();
  hub.deliver(found("2"));
  hub.remove("shard_found", kept);
  hub.deliver(found("3"));
  assertEquals(log, ["once", "until", "kept", "kept"]);
});

Deno.test("event hub: streams have every event, and end when the hub is closed", async () => {
  const { hub } = build();
  hub.deliver(found("1"));
  const streams = [hub.stream(), hub.stream()];
  hub.close();
  hub.open();
  hub.deliver(found("2"));
  for (const stream of streams) {
    assertEquals((await Array.fromAsync(stream)).length, 1);
  }
  assertEquals(await Array.fromAsync(hub.stream()), []);
});

Deno.test("event hub: a stream that nobody reads fails instead of filling the memory, and one that is cancelled is forgotten", async () => {
  const { hub } = build();
  hub.open();
  const unread = hub.stream();
  await hub.stream().cancel();
  for (let n = 0; n < 10_001; n++) hub.deliver(found(String(n)));
  await assertRejects(() => Array.fromAsync(unread), RangeError, "10000 events");
  hub.deliver(found("later"));
  hub.close();
});
