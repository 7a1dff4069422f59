// Owns: what becomes of the shards that a worker asked others for, when their rows cannot all be read.
import { assertEquals, assertRejects } from "@std/assert";
import type { ShardRow } from "../../src/core/lease.ts";
import { StoreError } from "../../src/errors.ts";
import { ShardRequests, type ShardRequestsDeps } from "../../src/runtime/shard_requests.ts";
import { shardRow } from "./arbitraries.ts";

const MANY_ROWS = 1_000;

Deno.test("shard requests: what was given is not forgotten when the row of another one could not be read", async () => {
  const { signal } = new AbortController();
  const asked = ["a", "b"].map((id) =>
    shardRow(id, { owner: "other", holder: "1", handover: { to: "me", id: "1", at: 0 } })
  );
  const rows = new Map<string, ShardRow>(asked.map((row) => [row.id, row]));
  let isReadable = false;
  const store = {
    read: (_kind: string, id: string) =>
      id === "b" && !isReadable
        ? Promise.reject(new StoreError("Cannot read: a test", { kind: "unavailable" }))
        : Promise.resolve(rows.get(id)),
  };
  const requests = new ShardRequests({ self: "me", store } as unknown as ShardRequestsDeps);
  requests.saw(asked);
  rows.set("a", shardRow("a", { owner: "me", holder: null, handover: null }));
  await assertRejects(() => requests.answers(MANY_ROWS, signal), StoreError);
  isReadable = true;
  const given = await requests.answers(MANY_ROWS, signal);
  assertEquals(given?.map(({ id }) => id), ["a"]);
  assertEquals(requests.isOpen, true);
  rows.set("b", shardRow("b", { owner: "other", holder: "1" }));
  assertEquals(await requests.answers(MANY_ROWS, signal), []);
  assertEquals(requests.isOpen, false);
});
