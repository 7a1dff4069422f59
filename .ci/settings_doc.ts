/**
 * Owns: `docs/settings.md`, made from the table of settings.
 * Called by: `deno task docs`; a test holds that the file is what this makes.
 */

import { SETTINGS } from "../src/core/config.ts";
import { describeDefault, describeRange } from "../src/core/setting.ts";

/** Where it is. */
export const SETTINGS_DOC: URL = new URL("../docs/settings.md", import.meta.url);

const HEAD = `# Settings

<!-- Made by \`deno task docs\` from src/core/config.ts: change it there. -->

The same names everywhere: \`config: { heartbeatTimeout: 60_000 }\` in code, \`--heartbeat-timeout 60s\`
as a flag, \`KINESIX_HEARTBEAT_TIMEOUT=60s\` in the environment, \`{"heartbeatTimeout": "60s"}\` in the
JSON file of \`--config\`. A flag comes before the environment, that before the file. In code
durations are milliseconds and sizes bytes; as text they have units: \`250ms\`, \`30s\`, \`3m\`, \`1h\`,
\`1d\`; \`64KiB\`, \`64MiB\`, \`1GiB\`. A wrong setting is refused by name, before anything is started.
`;

const TAIL = `## What settings must be to one another

- \`heartbeatTimeout\` is at least 2 × \`heartbeat\`.
- \`handoverRequestExpiry\` is at least \`heartbeatTimeout\` + \`checkPendingHandoverRequestFrequency\`.
- \`concurrency\` is 1 with \`checkpointMode\` \`manual\`, and with \`orderBy\` \`shard\`.
- \`processTimeout\`, if there is one, is more than \`checkpointFrequency\` with \`checkpointMode\`
  \`manual\`.
- \`initialPosition\` counts only when the app meets a stream for the first time; a time may not be in
  the future.

Workers of one cluster may have different settings: each says in its own row of the state table
after how long a silence it is dead. The provisioned throughput of an existing table is brought to
the configured one when it differs; a table that is paid per request is left alone.
`;

/** The text of the file, as `deno fmt` leaves it. */
export function settingsDoc(): string {
  const rows = SETTINGS.map((setting) => [
    `\`${setting.name}\``,
    `\`--${setting.flag}\``,
    describeDefault(setting),
    describeRange(setting),
    setting.doc,
  ]);
  return [
    HEAD,
    table(["setting", "flag", "default", "range", "what it is"], rows),
    TAIL,
  ].join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[], filler = " "): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0, filler)).join(" | ")} |\n`;
  const [first = [], ...others] = cells;
  return line(first) + line(head.map(() => ""), "-") + others.map((row) => line(row)).join("");
}

if (import.meta.main) await Deno.writeTextFile(SETTINGS_DOC, settingsDoc());
