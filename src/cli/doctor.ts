/**
 * Owns: `kinesix doctor`: looks at a set-up, changes nothing, and tells what is wrong with it.
 * Must not: know what is looked at.
 * Called by: `commands/setup_commands.ts`.
 *
 * @module
 */

import { connectAws } from "../adapters/aws_calls.ts";
import { parseFailurePlace } from "../core/failure_place.ts";
import { resolveConfig } from "../core/config.ts";
import { parseDuration } from "../core/duration.ts";
import { connection } from "./connection.ts";
import { type CheckedFinding, judge } from "./doctor/checks.ts";
import type { Verdict } from "./doctor/observation.ts";
import { observe } from "./doctor/observe.ts";
import { count } from "./event_text.ts";
import { patiently } from "./patience.ts";
import { listenForStop } from "./stop_signals.ts";
import { tableNameOf } from "./table.ts";
import { jsonText, printable, printableLine, type Terminal, wantsColor } from "./terminal.ts";
import type { Values } from "./values.ts";
import { spanText } from "./words.ts";

/** What is printed with `--json`. */
interface Report {
  readonly appName: string;
  readonly streamName: string;
  readonly tableName: string;
  /** Whether there is no problem; there may be warnings, and checks that could not be made. */
  readonly isSound: boolean;
  readonly checks: readonly {
    readonly check: string;
    readonly verdict: Verdict;
    readonly what: string;
    readonly meaning: string | null;
    readonly remedy: string | null;
  }[];
}

/** Examines a set-up; the exit code is 1 if there is a problem. */
export async function doctor(values: Values, terminal: Terminal): Promise<number> {
  const place = parseFailurePlace(values.text("on-failure") ?? "");
  const patient = {
    appName: values.need("app"),
    streamName: values.need("stream"),
    tableName: tableNameOf(values),
    failureStream: place?.kind === "stream" ? place.streamName : undefined,
    config: resolveConfig(values.config),
  };
  using signals = listenForStop();
  const aws = connection(values, terminal, ["kinesis", "dynamodb"]);
  const made = connectAws(aws);
  try {
    const clients = { kinesis: await made.kinesis(), dynamoDB: await made.dynamoDB() };
    const looksApartMs = parseDuration(values.need("looks-apart")) ?? 0;
    const { signal } = signals;
    const look = observe(patient, {
      ...{ clients, signal, looksApartMs },
      onWait(ms) {
        if (!terminal.isStderrInteractive || ms < TOLD_WAIT_MS) return;
        terminal.say(`looks at the rows again in ${spanText(ms)}, to see which workers are alive`);
      },
    });
    const services = ["kinesis", "dynamodb"] as const;
    const findings = judge(await patiently(look, { values, terminal, services }));
    const isSound = findings.every(({ verdict }) => verdict !== "problem");
    const { appName, streamName, tableName } = patient;
    const report: Report = {
      ...{ appName, streamName, tableName, isSound },
      checks: findings.map(({ check, verdict, what, meaning = null, remedy = null }) => ({
        ...{ check, verdict, what, meaning, remedy },
      })),
    };
    await terminal.write(
      values.isOn("json")
        ? `${jsonText(report)}\n`
        : await reportText(findings, { isVerbose: values.isOn("verbose"), terminal }),
    );
    return isSound ? 0 : 1;
  } finally {
    made.close();
  }
}

/** A shorter wait is not worth a line. */
const TOLD_WAIT_MS = 1_000;

const INDENT = " ".repeat(10);

async function reportText(
  findings: readonly CheckedFinding[],
  { isVerbose, terminal }: { readonly isVerbose: boolean; readonly terminal: Terminal },
): Promise<string> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  const colors: { readonly [V in Verdict]: (text: string) => string } = {
    ok: (text) => paint.green(text),
    warning: (text) => paint.yellow(text),
    problem: (text) => paint.red(text),
    unknown: (text) => paint.gray(text),
  };
  const shown = findings.filter(({ verdict }) => isVerbose || verdict !== "ok");
  const lines = together(shown).flatMap(({ verdict, checks, what, meaning, remedy }) => [
    `${colors[verdict](verdict.padEnd(INDENT.length - 1))} ${
      paint.bold(printableLine(checks.join(", ")))
    }: ${printable(what)}`,
    ...meaning === undefined ? [] : [`${INDENT}it means: ${printable(meaning)}`],
    ...remedy === undefined ? [] : [`${INDENT}to do: ${printable(remedy)}`],
  ]);
  return `${[...lines, summary(findings)].join("\n")}\n`;
}

/** What could not be asked is one thing, whatever it was for. */
function together(
  findings: readonly CheckedFinding[],
): readonly (Omit<CheckedFinding, "check"> & { readonly checks: readonly string[] })[] {
  const groups = Map.groupBy(
    findings,
    ({ verdict, what, check }) => verdict === "unknown" ? what : `${verdict} ${check}`,
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [{ ...first, checks: group.map(({ check }) => check) }];
  });
}

function summary(findings: readonly CheckedFinding[]): string {
  const number = (verdict: Verdict): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  if (number("ok") === findings.length) return `all ${count(findings.length, "check")} are well`;
  const parts = [
    [number("problem"), count(number("problem"), "problem")],
    [number("warning"), count(number("warning"), "warning")],
    [number("unknown"), `${number("unknown")} not known`],
    [number("ok"), `${number("ok")} well`],
  ] as const;
  const told = parts.filter(([amount]) => amount > 0).map(([, text]) => text).join(", ");
  return `${count(findings.length, "check")}: ${told}`;
}
