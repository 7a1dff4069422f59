/**
 * Owns: the name of a worker that was not given one.
 * Must not: fail; a name is always found.
 * Called by: `app.ts`.
 *
 * @module
 */

import type { Clock, Random } from "../ports.ts";

// The instance metadata service of EC2, version 2:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
const METADATA_HOST = "169.254.169.254";
const METADATA_TIMEOUT_MS = 500;
const INSTANCE_ID = /^i-[0-9a-f]{8,32}$/;

/** What decides how a worker is named. */
export interface IdentityOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Whether AWS is really used; a local stack has no metadata service. */
  readonly isOnAws: boolean;
}

/** The EC2 instance id if there is one, else the host name; with a random part, since a host may run several workers. */
export async function defaultWorkerId(options: IdentityOptions): Promise<string> {
  const host = await instanceId(options) ?? hostname() ?? "worker";
  return `${host.slice(0, 100)}-${options.random.uuid().slice(0, 8)}`;
}

function hostname(): string | undefined {
  const isAllowed =
    Deno.permissions.querySync({ name: "sys", kind: "hostname" }).state === "granted";
  return isAllowed ? Deno.hostname() : undefined;
}

async function instanceId({ clock, isOnAws }: IdentityOptions): Promise<string | undefined> {
  if (!isOnAws || isSwitchedOff()) return undefined;
  const net = Deno.permissions.querySync({ name: "net", host: METADATA_HOST });
  if (net.state !== "granted") return undefined;
  const request = new AbortController();
  const timer = new AbortController();
  clock.sleep(METADATA_TIMEOUT_MS, timer.signal).then(() => request.abort(), () => {});
  try {
    const ask = async (path: string, init: RequestInit): Promise<string> => {
      const url = `http://${METADATA_HOST}/latest/${path}`;
      const response = await fetch(url, { ...init, signal: request.signal, redirect: "error" });
      const text = await response.text();
      return response.ok ? text : "";
    };
    const token = await ask("api/token", {
      method: "PUT",
      headers: { "x-aws-ec2-metadata-token-ttl-seconds": "60" },
    });
    const headers = { "x-aws-ec2-metadata-token": token };
    const id = await ask("meta-data/instance-id", { headers });
    return INSTANCE_ID.test(id) ? id : undefined;
  } catch {
    // Not on EC2: there is nobody at that address.
    return undefined;
  } finally {
    timer.abort();
  }
}

function isSwitchedOff(): boolean {
  const variable = "AWS_EC2_METADATA_DISABLED";
  const permission = Deno.permissions.querySync({ name: "env", variable });
  return permission.state === "granted" && Deno.env.get(variable)?.toLowerCase() === "true";
}
