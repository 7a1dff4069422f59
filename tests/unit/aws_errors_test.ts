import { assertEquals } from "@std/assert";
import { classify, explain, type FailedCall } from "../../src/adapters/aws_errors.ts";
import type { FailureKind } from "../../src/errors.ts";

const CALL: FailedCall = {
  service: "Kinesis",
  task: 'read stream "orders"',
  action: "kinesis:GetRecords",
  region: "eu-west-1",
  endpoint: undefined,
};

const SERVICE_ERRORS: readonly (readonly [name: string, status: number, kind: FailureKind])[] = [
  ["ProvisionedThroughputExceededException", 400, "throttled"],
  ["ThrottlingException", 400, "throttled"],
  ["LimitExceededException", 400, "throttled"],
  ["RequestLimitExceeded", 400, "throttled"],
  ["KMSThrottlingException", 400, "throttled"],
  ["SlowDown", 503, "throttled"],
  ["Whatever", 429, "throttled"],
  ["AccessDeniedException", 400, "denied"],
  ["UnrecognizedClientException", 400, "denied"],
  ["InvalidSignatureException", 400, "denied"],
  ["ExpiredTokenException", 400, "denied"],
  ["MissingAuthenticationToken", 400, "denied"],
  ["KMSAccessDeniedException", 400, "denied"],
  ["KMSDisabledException", 400, "denied"],
  ["Whatever", 403, "denied"],
  ["ResourceNotFoundException", 400, "missing"],
  ["ValidationException", 400, "invalid"],
  ["InvalidArgumentException", 400, "invalid"],
  ["SerializationException", 400, "invalid"],
  ["ConditionalCheckFailedException", 400, "invalid"],
  ["Whatever", 400, "invalid"],
  ["TransactionConflictException", 400, "unavailable"],
];

for (const [name, status, kind] of SERVICE_ERRORS) {
  Deno.test(`${name} with status ${status} is ${kind}, and was not applied`, () => {
    assertEquals(classify(serviceError(name, status)), { kind, maybeApplied: false });
  });
}

const UNKNOWN_END = [
  ["InternalServerError", 500],
  ["ServiceUnavailable", 503],
  ["RequestTimeout", 400],
  ["RequestTimeoutException", 408],
  ["Whatever", 408],
] as const;

for (const [name, status] of UNKNOWN_END) {
  Deno.test(`${name} with status ${status} is unavailable, and may have been applied`, () => {
    assertEquals(classify(serviceError(name, status)), { kind: "unavailable", maybeApplied: true });
  });
}

const NETWORK_ERRORS: readonly (readonly [code: string, maybeApplied: boolean, words: string])[] = [
  ["ECONNREFUSED", false, "connection refused"],
  ["ENOTFOUND", false, "its name cannot be resolved"],
  ["EHOSTUNREACH", false, "host unreachable"],
  ["ECONNRESET", true, "connection reset"],
  ["EPIPE", true, "connection closed"],
  ["ETIMEDOUT", true, "timed out"],
  ["ESOMETHING", true, "some text"],
];

for (const [code, maybeApplied, words] of NETWORK_ERRORS) {
  Deno.test(`${code} is unavailable: ${words}`, () => {
    const error = Object.assign(new Error("some text."), { code });
    assertEquals(classify(error), { kind: "unavailable", maybeApplied });
    assertEquals(
      explain(error, CALL),
      `Cannot reach Kinesis in region eu-west-1: ${words}; check the network and the region`,
    );
  });
}

Deno.test("what nobody knows may have been applied", () => {
  for (const error of [new TypeError("?"), "text", null, undefined, { name: 5, code: {} }]) {
    assertEquals(classify(error), { kind: "unavailable", maybeApplied: true });
  }
});

Deno.test("a request that was refused for the machine's clock is made again", () => {
  const error = serviceError("InvalidSignatureException", 400, { clockSkewCorrected: true });
  assertEquals(classify(error), { kind: "unavailable", maybeApplied: false });
});

Deno.test("so is one that was signed by a correction of the clock that has been set right since", () => {
  const times = "20261123T150000Z is now earlier than 20261123T155500Z";
  for (const words of [`Signature expired: ${times}`, `Signature not yet current: ${times}`]) {
    const error = Object.assign(serviceError("InvalidSignatureException", 400), { message: words });
    assertEquals(classify(error), { kind: "unavailable", maybeApplied: false });
    assertEquals(
      explain(error, CALL),
      `Cannot read stream "orders": Kinesis in region eu-west-1 failed: ${words}`,
    );
  }
  const skewed = serviceError("RequestTimeTooSkewed", 403);
  assertEquals(classify(skewed), { kind: "unavailable", maybeApplied: false });
});

const MESSAGES: readonly (readonly [error: Error, message: string])[] = [
  [
    serviceError("ResourceNotFoundException", 400),
    'Cannot read stream "orders": it does not exist in region eu-west-1; check the name, the ' +
    "region and the account",
  ],
  [
    serviceError("AccessDeniedException", 400),
    'Cannot read stream "orders": the credentials lack kinesis:GetRecords',
  ],
  [
    serviceError("ExpiredTokenException", 400),
    'Cannot read stream "orders": the credentials have expired; renew them',
  ],
  [
    named("CredentialsProviderError", "Could not load credentials from any providers"),
    'Cannot read stream "orders": no credentials were found; set AWS_ACCESS_KEY_ID and ' +
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role",
  ],
  [
    serviceError("UnrecognizedClientException", 400),
    'Cannot read stream "orders": Kinesis in region eu-west-1 does not know the credentials; ' +
    "check the keys, the region and the clock of this machine",
  ],
  [
    serviceError("ProvisionedThroughputExceededException", 400),
    'Cannot read stream "orders": Kinesis asks to slow down (kinesis:GetRecords)',
  ],
  [
    serviceError("KMSDisabledException", 400),
    'Cannot read stream "orders": its KMS key cannot be used (KMSDisabledException): said AWS',
  ],
  [
    serviceError("InvalidArgumentException", 400),
    'Cannot read stream "orders": Kinesis does not accept the request: said AWS',
  ],
  [
    serviceError("InternalFailure", 500),
    'Cannot read stream "orders": Kinesis in region eu-west-1 failed: said AWS',
  ],
  [
    new Error("Region is missing"),
    'Cannot read stream "orders": no region is set; set AWS_REGION, or the option region (--region)',
  ],
  [
    named("NotCapable", 'Requires net access to "kinesis.eu-west-1.amazonaws.com:443"'),
    'Cannot read stream "orders": this process lacks a permission of Deno: Requires net access ' +
    'to "kinesis.eu-west-1.amazonaws.com:443"',
  ],
];

for (const [error, message] of MESSAGES) {
  Deno.test(`${error.name} is explained`, () => assertEquals(explain(error, CALL), message));
}

function serviceError(name: string, status: number, metadata: object = {}): Error {
  return Object.assign(named(name, "said AWS."), {
    $metadata: { httpStatusCode: status, ...metadata },
  });
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}
