/**
 * Owns: the checks of how AWS is reached: credentials, region, services, clock, permissions.
 * Must not: call anything.
 * Called by: `checks.ts`.
 *
 * @module
 */

import { formatDuration } from "../../core/duration.ts";
import { permissionsFor } from "../permissions.ts";
import { type Check, type Finding, type Observation, ok, unknown } from "./observation.ts";

/** AWS refuses what is signed five minutes off; a minute is worth a look before it comes to that. */
const CLOCK_PROBLEM_MS = 300_000;
const CLOCK_WARNING_MS = 60_000;

const NOTHING_WORKS = "no call can be made, and a worker does not start";

const CREDENTIALS: Check = {
  name: "credentials",
  judge({ credentials, permissions, table, stream }) {
    const remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the " +
      "machine a role; aws sts get-caller-identity tells whether AWS knows them";
    const problem = (what: string): Finding => ({
      verdict: "problem",
      what,
      meaning: NOTHING_WORKS,
      remedy,
    });
    if (credentials.kind === "failed") return problem(`none were found: ${credentials.message}`);
    const answers = [table, stream, ...permissions.map(({ answer }) => answer)];
    for (const answer of answers) {
      const isBad = answer.kind === "failed" && answer.failure === "credentials";
      if (isBad) return problem(answer.message);
    }
    return ok("there are some, and AWS knows them");
  },
};

const REGION: Check = {
  name: "region",
  judge({ region }) {
    if (region.kind === "answered") return ok(region.value);
    return {
      verdict: "problem",
      what: region.kind === "failed" ? region.message : region.why,
      meaning: NOTHING_WORKS,
      remedy: "set AWS_REGION, or use --region",
    };
  },
};

function service(name: keyof Observation["services"]): Check {
  return {
    name: `${name} is reached`,
    judge({ services }) {
      const answer = services[name];
      if (answer.kind === "answered") return ok("it answers");
      if (answer.kind === "notAsked") return unknown(answer);
      return {
        verdict: "problem",
        what: answer.message,
        meaning: name === "Kinesis"
          ? "no record is read"
          : "a worker can neither show that it is alive nor write a checkpoint",
        remedy:
          "check the network, the proxy, the region and the endpoints of this machine; with " +
          "deno run also --allow-net",
      };
    },
  };
}

const CLOCK: Check = {
  name: "clock",
  judge({ clockAheadMs }) {
    if (clockAheadMs === null) return unknown({ kind: "notAsked", why: "no answer told the time" });
    const offMs = Math.abs(clockAheadMs);
    if (offMs < CLOCK_WARNING_MS) return ok("it is right to the minute");
    const direction = clockAheadMs > 0 ? "ahead of" : "behind";
    return {
      verdict: offMs < CLOCK_PROBLEM_MS ? "warning" : "problem",
      what: `this machine's clock is ${rough(offMs)} ${direction} AWS's`,
      meaning:
        "AWS refuses requests that are signed more than five minutes off; what people read " +
        "in rows and events is off too (no worker compares its clock with another's)",
      remedy: "have the clock set by NTP: timedatectl set-ntp true, or chrony",
    };
  },
};

function permission(action: string): Check {
  return {
    name: `permission ${action}`,
    judge({ permissions, ...seen }) {
      const answer = permissions.find((permission) => permission.action === action)?.answer;
      if (answer === undefined) return undefined;
      // IAM decides first: who is told that a thing is missing, or is full, was allowed to ask.
      const isGranted = answer.kind === "answered" ||
        answer.kind === "failed" && ["missing", "throttled"].includes(answer.failure);
      if (isGranted) return ok("granted");
      if (answer.kind === "failed" && answer.failure === "key") return unusableKey(answer.message);
      if (answer.kind !== "failed" || answer.failure !== "denied") return unknown(answer);
      const { appName, streamName } = seen;
      const region = seen.region.kind === "answered" ? seen.region.value : "REGION";
      const { retrieval, dynamoDBTableSuffix: suffix } = seen.config;
      const flags = (suffix === "KinesisState" ? "" : ` --dynamodb-table-suffix ${suffix}`) +
        (retrieval === "fan-out" ? " --fan-out" : "");
      return {
        verdict: "problem",
        what: answer.message,
        meaning: "a worker with these credentials fails where it needs it",
        remedy: `allow "${action}" to this role: kinesix iam print --app ${appName} --stream ` +
          `${streamName} --region ${region} --account ACCOUNT${flags} prints the policy`,
      };
    },
  };
}

function unusableKey(what: string): Finding {
  return {
    verdict: "problem",
    what,
    meaning: "what is encrypted with that key can be neither read nor written",
    remedy: "enable the key, and allow kms:Decrypt on it to this role (in the key's policy too)",
  };
}

/** Of both ways to read; what was not tried has nothing to say. */
const ACTIONS: ReadonlySet<string> = new Set(
  [false, true].flatMap((isFanOut) =>
    permissionsFor({ purpose: "run", isFanOut, createsTable: false })
  ).map(({ action }) => action),
);

/** How AWS is reached. */
export const ACCESS_CHECKS: readonly Check[] = [
  CREDENTIALS,
  REGION,
  service("Kinesis"),
  service("DynamoDB"),
  CLOCK,
  ...[...ACTIONS].map(permission),
];

/** A time as people say it, to two digits or so. */
export function rough(ms: number): string {
  const unit = ms < 60_000 ? 1_000 : ms < 3_600_000 ? 60_000 : ms < 86_400_000 ? 3_600_000 : 0;
  const days = 86_400_000;
  return unit === 0
    ? `${Math.round(ms / days)}d`
    : formatDuration(Math.max(unit, Math.round(ms / unit) * unit));
}
