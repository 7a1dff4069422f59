/**
 * Owns: `kinesix iam print`: the least IAM policy as JSON.
 * Must not: know which permission is for what.
 * Called by: `commands/setup_commands.ts`.
 *
 * @module
 */

import { parseFailurePlace } from "../core/failure_place.ts";
import { type Needs, policyFor, type Purpose, PURPOSES } from "./permissions.ts";
import { tableNameOf } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** Prints the policy; nothing is called. */
export async function printPolicy(values: Values, terminal: Terminal): Promise<number> {
  const text = values.text("on-failure");
  const place = text === undefined ? undefined : parseFailurePlace(text);
  const kclTable = values.text("from-kcl");
  const needs: Needs = {
    purpose: values.need("command") as Purpose,
    isFanOut: values.isOn("fan-out"),
    createsTable: values.isOn("create-table"),
    ...place?.kind === "stream" && { failureStream: place.streamName },
    ...kclTable !== undefined && { kclTable },
  };
  checkNeeds(needs);
  const policy = policyFor(needs, {
    region: values.need("region"),
    account: values.need("account"),
    streamName: values.need("stream"),
    tableName: tableNameOf(values),
  });
  await terminal.write(`${JSON.stringify(policy, null, values.isOn("json") ? 0 : 2)}\n`);
  return 0;
}

/** A flag that would change nothing is a misunderstanding, and in a policy one that somebody finds out at night. */
function checkNeeds({ purpose, isFanOut, createsTable, failureStream, kclTable }: Needs): void {
  const misplaced = [
    ["--fan-out", isFanOut, ["run", "doctor"]],
    ["--create-table", createsTable, ["run", "steer"]],
    ["--on-failure", failureStream !== undefined, ["run", "replay", "doctor", "redrive"]],
    ["--from-kcl", kclTable !== undefined, ["steer"]],
  ] as const;
  for (const [flag, isGiven, purposes] of misplaced) {
    if (!isGiven || (purposes as readonly Purpose[]).includes(purpose)) continue;
    throw new UsageError(
      `Cannot use ${flag} with --command ${purpose} (${PURPOSES[purpose]}): it is for --command ${
        purposes.join(", ")
      }`,
    );
  }
}
