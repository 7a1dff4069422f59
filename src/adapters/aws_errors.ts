/**
 * Owns: what an error of an AWS call means: its kind, whether a write may have happened, and the words for people.
 * Must not: retry, or load the SDK.
 * Called by: the other adapters.
 *
 * @module
 */

import type { FailureKind } from "../errors.ts";
import { messageOf } from "../errors.ts";

/** What a failed call says about the request. */
export interface Failure {
  readonly kind: FailureKind;
  /** Whether the request may have been carried out all the same. */
  readonly maybeApplied: boolean;
}

/** A call, as a message about it names it. */
export interface FailedCall {
  readonly service: "DynamoDB" | "Kinesis";
  /** What could not be done, as `read stream "orders"`. */
  readonly task: string;
  /** The permission that the call needs, as `kinesis:GetRecords`. */
  readonly action: string;
  /** The region; undefined if none is set. */
  readonly region: string | undefined;
  /** The URL of a service that is not AWS's own in that region. */
  readonly endpoint: string | undefined;
}

const THROTTLED = new Set([
  "BandwidthLimitExceeded",
  "KMSThrottlingException",
  "LimitExceededException",
  "PriorRequestNotComplete",
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "SlowDown",
  "ThrottledException",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
]);

const UNKNOWN_CREDENTIALS = new Set([
  "IncompleteSignature",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "SignatureDoesNotMatch",
  "UnrecognizedClientException",
]);
/** The SDK takes the right time from every answer. Of one that says these it does not tell when the clock has just been set right. */
const WRONG_TIME = new Set(["RequestInTheFuture", "RequestTimeTooSkewed"]);
const WRONG_TIME_WORDS = /^Signature (expired|not yet current)/;
const NO_CREDENTIALS = new Set([
  "CredentialsProviderError",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "TokenProviderError",
]);
const EXPIRED_CREDENTIALS = new Set(["ExpiredToken", "ExpiredTokenException", "RequestExpired"]);
const LACKING_PERMISSION = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "AuthFailure",
  "NotAuthorizedException",
  "OptInRequired",
]);
const UNUSABLE_KEY = new Set([
  "KMSAccessDeniedException",
  "KMSDisabledException",
  "KMSInvalidStateException",
  "KMSNotFoundException",
  "KMSOptInRequired",
]);
/** What Deno throws when the process was not given a permission. */
const NO_PROCESS_PERMISSION = new Set(["NotCapable", "PermissionDenied"]);
const DENIED: readonly ReadonlySet<string>[] = [
  UNKNOWN_CREDENTIALS,
  NO_CREDENTIALS,
  EXPIRED_CREDENTIALS,
  LACKING_PERMISSION,
  UNUSABLE_KEY,
  NO_PROCESS_PERMISSION,
];

const MISSING = new Set(["ResourceNotFoundException", "TableNotFoundException"]);

/** Refused because another transaction or region holds the item: nothing is wrong with the request. */
const CONTENDED = new Set(["ReplicatedWriteConflictException", "TransactionConflictException"]);

/** AWS, or who is in between, waited too long for the request, or for what it was about. */
const LATE = new Set(["RequestTimeout", "RequestTimeoutException"]);
const LATE_STATUS = 408;

/** The connection was never there, so that the request was not sent. */
const NEVER_SENT: ReadonlyMap<string, string> = new Map([
  ["EAI_AGAIN", "its name cannot be resolved"],
  ["ECONNREFUSED", "connection refused"],
  ["EHOSTUNREACH", "host unreachable"],
  ["ENETUNREACH", "network unreachable"],
  ["ENOTFOUND", "its name cannot be resolved"],
]);
/** The connection was lost while the request, or its answer, was on its way. */
const LOST: ReadonlyMap<string, string> = new Map([
  ["ECONNABORTED", "connection aborted"],
  ["ECONNRESET", "connection reset"],
  ["EPIPE", "connection closed"],
  ["ETIMEDOUT", "timed out"],
]);

const DETAIL_LENGTH_MAX = 300;

/**
 * Says what an error of an AWS call means. What is not known is taken for an answer that never came, since
 * nothing may be concluded from it.
 */
export function classify(error: unknown): Failure {
  const { name, code, status, isOfWrongTime } = facts(error);
  if (isOfWrongTime) return { kind: "unavailable", maybeApplied: false };
  if (THROTTLED.has(name) || status === 429) return { kind: "throttled", maybeApplied: false };
  if (DENIED.some((names) => names.has(name))) return { kind: "denied", maybeApplied: false };
  if (MISSING.has(name)) return { kind: "missing", maybeApplied: false };
  if (CONTENDED.has(name)) return { kind: "unavailable", maybeApplied: false };
  // The same transaction, sent before, is still under way.
  if (name === "TransactionInProgressException") return { kind: "unavailable", maybeApplied: true };
  if (LATE.has(name) || status === LATE_STATUS) return { kind: "unavailable", maybeApplied: true };
  if (NEVER_SENT.has(code)) return { kind: "unavailable", maybeApplied: false };
  if (isRegionMissing(error)) return { kind: "invalid", maybeApplied: false };
  if (status === 401 || status === 403) return { kind: "denied", maybeApplied: false };
  if (status >= 400 && status < 500) return { kind: "invalid", maybeApplied: false };
  return { kind: "unavailable", maybeApplied: true };
}

/** What a call lacked that was denied: good credentials, the permission, a key that can be used, or a permission of Deno. */
export function denialOf(error: unknown): "credentials" | "permission" | "key" | "process" {
  const { name } = facts(error);
  const isAboutCredentials = [UNKNOWN_CREDENTIALS, NO_CREDENTIALS, EXPIRED_CREDENTIALS]
    .some((names) => names.has(name));
  if (isAboutCredentials) return "credentials";
  if (NO_PROCESS_PERMISSION.has(name)) return "process";
  return UNUSABLE_KEY.has(name) ? "key" : "permission";
}

/** Whether a call that failed so may succeed when it is made again. */
export function isRetriable(error: unknown): boolean {
  const { kind } = classify(error);
  return kind === "throttled" || kind === "unavailable";
}

/** Whether AWS answered with the error of this name. */
export function isNamed(error: unknown, name: string): boolean {
  return facts(error).name === name;
}

/** The message for people: what could not be done, why, and what to do about it. */
export function explain(error: unknown, call: FailedCall): string {
  const { kind } = classify(error);
  if (kind === "unavailable" && facts(error).status === 0) {
    const isInAws = call.endpoint === undefined;
    return `Cannot reach ${call.service} ${place(call)}: ${connectionReason(error)}; check ` +
      (isInAws ? "the network and the region" : "the endpoint and the network");
  }
  return `Cannot ${call.task}: ${reason(error, kind, call)}`;
}

function reason(error: unknown, kind: FailureKind, call: FailedCall): string {
  switch (kind) {
    case "throttled":
      return `${call.service} asks to slow down (${call.action})`;
    case "unavailable":
      return `${call.service} ${place(call)} failed: ${detail(error)}`;
    case "denied":
      return denial(error, call);
    case "missing":
      return `it does not exist ${place(call)}; check the name, the region and the account`;
    case "invalid":
      if (isRegionMissing(error)) {
        return "no region is set; set AWS_REGION, or the option region (--region)";
      }
      return `${call.service} does not accept the request: ${detail(error)}`;
    default:
      return kind satisfies never;
  }
}

function denial(error: unknown, call: FailedCall): string {
  const { name } = facts(error);
  if (NO_CREDENTIALS.has(name)) {
    return "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
      "AWS_PROFILE, or give the machine a role";
  }
  if (EXPIRED_CREDENTIALS.has(name)) return "the credentials have expired; renew them";
  if (UNKNOWN_CREDENTIALS.has(name)) {
    return `${call.service} ${place(call)} does not know the credentials; check the keys, the ` +
      "region and the clock of this machine";
  }
  if (UNUSABLE_KEY.has(name)) return `its KMS key cannot be used (${name}): ${detail(error)}`;
  if (NO_PROCESS_PERMISSION.has(name)) {
    return `this process lacks a permission of Deno: ${detail(error)}`;
  }
  return `the credentials lack ${call.action}`;
}

function connectionReason(error: unknown): string {
  const { code, name } = facts(error);
  if (name === "TimeoutError") return "timed out";
  return NEVER_SENT.get(code) ?? LOST.get(code) ?? detail(error);
}

function place({ region, endpoint }: FailedCall): string {
  return endpoint === undefined ? `in region ${region ?? "(none is set)"}` : `at ${endpoint}`;
}

function detail(error: unknown): string {
  // What came instead is nobody's business, and the SDK adds advice for those who write its code.
  if (error instanceof SyntaxError) {
    return `what answered, with status ${
      facts(error).status
    }, is not AWS; is something in between?`;
  }
  // The platform's fetch says why only in the cause.
  const isOfFetch = error instanceof TypeError && error.cause instanceof Error;
  const text = messageOf(isOfFetch ? error.cause : error).trim().replace(/\.$/, "");
  return text === "" ? facts(error).name : text.slice(0, DETAIL_LENGTH_MAX);
}

/** The SDK throws a plain error when a client without a region is used. */
function isRegionMissing(error: unknown): boolean {
  return error instanceof Error && error.message === "Region is missing";
}

interface ErrorFacts {
  readonly name: string;
  readonly code: string;
  /** The HTTP status of the answer; 0 if there was none. */
  readonly status: number;
  /** It was signed for a wrong time; the SDK learnt the right one from the answer, and signs the next request for it. */
  readonly isOfWrongTime: boolean;
}

function facts(error: unknown): ErrorFacts {
  const { name: given, code, message, $metadata } = Object(error) as {
    readonly name?: unknown;
    readonly message?: unknown;
    readonly code?: unknown;
    readonly $metadata?: {
      readonly httpStatusCode?: number;
      readonly clockSkewCorrected?: boolean;
    };
  };
  const name = typeof given === "string" ? given : "Error";
  const words = UNKNOWN_CREDENTIALS.has(name) && typeof message === "string" ? message : "";
  return {
    name,
    code: typeof code === "string" ? code : "",
    status: $metadata?.httpStatusCode ?? 0,
    isOfWrongTime: $metadata?.clockSkewCorrected === true || WRONG_TIME.has(name) ||
      WRONG_TIME_WORDS.test(words),
  };
}
