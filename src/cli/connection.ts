/**
 * Owns: where Kinesis and DynamoDB are and who we are there, from flags and environment.
 * Must not: connect.
 * Called by: the commands that talk to AWS or to a local stack.
 *
 * @module
 */

import type { AwsOptions } from "../adapters/aws_calls.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** A service that a command talks to. */
export type Service = "kinesis" | "dynamodb";

/** Where the default chain of the AWS SDK would find credentials that somebody set on purpose. */
const CREDENTIAL_VARIABLES = [
  "AWS_ACCESS_KEY_ID",
  "AWS_PROFILE",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/** What a local stack takes: anything. */
const LOCAL_CREDENTIALS = { accessKeyId: "local", secretAccessKey: "local" };
const LOCAL_REGION = "us-east-1";

/**
 * How to reach the services. On a local stack no credentials are needed; made-up ones are used when there are none.
 *
 * @param services Those that the command talks to.
 */
export function connection(
  values: Values,
  terminal: Terminal,
  services: readonly Service[],
): AwsOptions {
  const endpoints = services.map((service) => endpointOf(service, values, terminal));
  const isLocal = endpoints.every((endpoint) => endpoint !== undefined && isLoopback(endpoint));
  const region = values.text("region") ?? terminal.env("AWS_REGION");
  const needsCredentials = isLocal &&
    CREDENTIAL_VARIABLES.every((name) => terminal.env(name) === undefined);
  if (needsCredentials) {
    terminal.say(
      `note: no credentials in the environment; a local stack takes any, so made-up ones are used` +
        (region === undefined ? ` with region ${LOCAL_REGION}` : ""),
    );
  }
  const kinesisEndpoint = endpoints[services.indexOf("kinesis")];
  const dynamoDBEndpoint = endpoints[services.indexOf("dynamodb")];
  const knownRegion = region ?? (isLocal ? LOCAL_REGION : undefined);
  return {
    ...knownRegion !== undefined && { region: knownRegion },
    ...needsCredentials && { credentials: LOCAL_CREDENTIALS },
    ...kinesisEndpoint !== undefined && { kinesisEndpoint },
    ...dynamoDBEndpoint !== undefined && { dynamoDBEndpoint },
  };
}

/** The URL of a service that is not in the AWS cloud; undefined of one that is. */
export function endpointOf(
  service: Service,
  values: Values,
  terminal: Terminal,
): string | undefined {
  return values.text(`${service}-endpoint`) ?? values.text("endpoint-url") ??
    terminal.env(`AWS_ENDPOINT_URL_${service.toUpperCase()}`) ?? terminal.env("AWS_ENDPOINT_URL");
}

function isLoopback(endpoint: string): boolean {
  const hostname = URL.parse(endpoint)?.hostname ?? "";
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
