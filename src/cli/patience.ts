/**
 * Owns: telling a person what a command waits for that has nothing else to say.
 * Must not: end the wait.
 * Called by: the commands, at their first call.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { endpointOf, type Service } from "./connection.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Nobody wonders before. */
const PATIENCE_MS = 4_000;

/** What is waited for, and where that is told. */
export interface Wait {
  readonly values: Values;
  readonly terminal: Terminal;
  /** Those that have to answer. */
  readonly services: readonly Service[];
  /** @default {4_000} */
  readonly patienceMs?: number;
}

/** Waits for something, and says once what for if that takes long. A service that is silent is given up after most of a minute. */
export async function patiently<T>(work: Promise<T>, wait: Wait): Promise<T> {
  const done = new AbortController();
  void tell(wait, done.signal);
  try {
    return await work;
  } finally {
    done.abort();
  }
}

async function tell(
  { values, terminal, services, patienceMs = PATIENCE_MS }: Wait,
  signal: AbortSignal,
): Promise<void> {
  try {
    await delay(patienceMs, { signal });
  } catch {
    return; // It came in time.
  }
  const region = values.text("region") ?? terminal.env("AWS_REGION");
  const places = services.map((service) => {
    const endpoint = endpointOf(service, values, terminal);
    const place = endpoint ?? (region === undefined ? "AWS" : `region ${region}`);
    return `${NAMES[service]} ${endpoint === undefined ? "in" : "at"} ${place}`;
  });
  terminal.say(`note: still waiting for ${places.join(" and ")}`);
}

const NAMES: { readonly [S in Service]: string } = { kinesis: "Kinesis", dynamodb: "DynamoDB" };
