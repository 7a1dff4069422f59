// Tables for people: framed where there is room, and readable where there is not.
import { assertEquals } from "@std/assert";
import { type Cell, tableText } from "../../src/cli/table_text.ts";
import { fakeTerminal } from "./cli_testing.ts";

const HEAD = ["Shard", "Owner", "Behind"];
const ROWS: readonly (readonly Cell[])[] = [
  [{ text: "shardId-000000000001", short: "1" }, "-", "2.0s"],
  [{ text: "shardId-000000000012", short: "12", color: (text) => `<${text}>` }, "-", "-"],
];

Deno.test("a table is framed where it fits, and where no terminal says how much does", async () => {
  const framed = [
    "┌──────────────────────┬───────┬────────┐",
    "│ Shard                │ Owner │ Behind │",
    "├──────────────────────┼───────┼────────┤",
    "│ shardId-000000000001 │ -     │ 2.0s   │",
    "│ shardId-000000000012 │ -     │ -      │",
    "└──────────────────────┴───────┴────────┘",
  ];
  const rows = ROWS.map((row) => row.map((cell) => typeof cell === "string" ? cell : cell.text));
  for (const columns of [{}, { columns: 41 }]) {
    const lines = (await tableText(HEAD, rows, fakeTerminal(columns))).split("\n");
    assertEquals(lines, framed);
  }
});

Deno.test("on a narrow terminal it is short, without a frame and without columns that say nothing", async () => {
  const text = await tableText(HEAD, ROWS, fakeTerminal({ columns: 40 }));
  assertEquals(text.split("\n"), [
    "Shard  Behind",
    "1      2.0s",
    "<12>     -",
  ]);
});

Deno.test("of a table without rows nothing is shown", async () => {
  assertEquals(await tableText(HEAD, [], fakeTerminal()), "");
});
