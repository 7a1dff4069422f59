// A small one of what `deno task chaos --sink` plays.
import { assertEquals, assertGreater } from "@std/assert";
import { tell } from "../local/cluster.ts";
import { playSink } from "./exactly_once.ts";

const RECORDS = 3_000;

Deno.test("a DynamoDB sink has every record exactly once, however often its workers are killed", async () => {
  const figures = await playSink({ records: RECORDS, mode: "transaction", within: 120_000 });
  const { kills, seconds, ...found } = figures;
  tell(`${kills} kills in ${Math.round(seconds)} s`);
  assertEquals(found, { once: RECORDS, more: 0, lost: 0, invented: 0 });
  assertGreater(kills, 3);
});
