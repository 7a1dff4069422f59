// Owns: the operations on registered consumers: register, describe, list, deregister.
// Must not: subscribe (subscription_operations.ts does).
// Called by: kinesis_engine.ts; subscription_operations.ts finds a consumer by its ARN.
import { type Account, streamNameOf } from "./account.ts";
import { Consumer } from "./consumer.ts";
import { type Input, name, optionalInteger, optionalText, text } from "./input.ts";
import { ACCOUNT_ID, consumerNotFound, invalidArgument, KinesisError } from "./kinesis_error.ts";
import type { Stream } from "./stream.ts";
import { formatToken, parseToken } from "./tokens.ts";

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
const CONSUMERS_MAX = 20;
const CREATING_MAX = 5;
const TOKEN_LIFETIME_MS = 300_000;
const PAGE_DEFAULT = 100;

export function registerConsumer(account: Account, input: Input): object {
  const consumerName = name(input, "ConsumerName");
  const stream = streamByArn(account, input);
  stream.requireActive();
  if (stream.consumers.has(consumerName)) {
    throw new KinesisError(
      "ResourceInUseException",
      `Consumer ${consumerName} of stream ${stream.streamName} under account ${ACCOUNT_ID} already exists.`,
    );
  }
  const consumers = [...stream.consumers.values()];
  const creating = consumers.filter(({ status }) => status === "CREATING").length;
  if (consumers.length >= CONSUMERS_MAX || creating >= CREATING_MAX) {
    throw new KinesisError(
      "LimitExceededException",
      `Stream ${stream.streamName} under account ${ACCOUNT_ID} has ${consumers.length} consumers, ` +
        `${creating} of them CREATING; there may be ${CONSUMERS_MAX}, and ${CREATING_MAX}.`,
    );
  }
  const consumer = new Consumer({
    consumerName,
    streamArn: stream.arn,
    createdMs: account.now(),
    transitionMs: account.transitionMs,
  });
  stream.consumers.set(consumerName, consumer);
  return { Consumer: describe(consumer) };
}

export function deregisterConsumer(account: Account, input: Input): object {
  const { stream, consumer } = consumerOf(account, input);
  const goneMs = account.now() + account.transitionMs;
  consumer.delete(goneMs, consumerNotFound(consumer.consumerName));
  stream.advance(account.now());
  return {};
}

export function describeConsumer(account: Account, input: Input): object {
  const { stream, consumer } = consumerOf(account, input);
  return { ConsumerDescription: { ...describe(consumer), StreamARN: stream.arn } };
}

export function listConsumers(account: Account, input: Input): object {
  const count = optionalInteger(input, "MaxResults", { min: 1, max: 10_000 }) ?? PAGE_DEFAULT;
  const stream = streamByArn(account, input);
  const token = optionalText(input, "NextToken");
  const after = token === undefined ? "" : lastOfPage(account, stream, token);
  const rest = [...stream.consumers.values()]
    .filter(({ consumerName }) => consumerName > after)
    .sort((a, b) => (a.consumerName < b.consumerName ? -1 : 1));
  const page = rest.slice(0, count);
  const last = page.at(-1)?.consumerName;
  return {
    Consumers: page.map(describe),
    ...(last !== undefined && rest.length > count
      ? { NextToken: formatToken("consumers", [stream.arn, last, account.now()]) }
      : {}),
  };
}

/** The consumer that a request means by its ConsumerARN, or by its StreamARN and ConsumerName. */
export function consumerOf(
  account: Account,
  input: Input,
): { readonly stream: Stream; readonly consumer: Consumer } {
  const arn = optionalText(input, "ConsumerARN");
  if (arn === undefined) {
    const consumerName = name(input, "ConsumerName");
    const stream = streamByArn(account, input);
    const consumer = stream.consumers.get(consumerName);
    if (consumer === undefined) throw consumerNotFound(consumerName);
    return { stream, consumer };
  }
  const [, streamName = "", consumerName = ""] =
    /^arn:[^:]*:kinesis:[^:]*:\d{12}:stream\/([^/]+)\/consumer\/([^/:]+):\d+$/.exec(arn) ?? [];
  if (streamName === "") throw invalidArgument(`ConsumerARN ${arn} is invalid.`);
  const stream = account.get(streamName);
  const consumer = stream.consumers.get(consumerName);
  // The number at the end tells it from an older consumer of its name.
  if (consumer?.arn !== arn) throw consumerNotFound(arn);
  return { stream, consumer };
}

/** Operations on consumers take no StreamName. */
function streamByArn(account: Account, input: Input): Stream {
  const streamName = streamNameOf({ StreamARN: text(input, "StreamARN") });
  if (streamName === undefined) throw invalidArgument("StreamARN is invalid.");
  return account.get(streamName);
}

function lastOfPage(account: Account, stream: Stream, token: string): string {
  const [arn, last, issuedMs] = parseToken("consumers", token) ?? [];
  if (arn !== stream.arn || typeof last !== "string" || typeof issuedMs !== "number") {
    throw invalidArgument("Invalid NextToken.");
  }
  if (account.now() - issuedMs <= TOKEN_LIFETIME_MS) return last;
  throw new KinesisError("ExpiredNextTokenException", "The NextToken has expired.");
}

function describe(consumer: Consumer): object {
  return {
    ConsumerName: consumer.consumerName,
    ConsumerARN: consumer.arn,
    ConsumerStatus: consumer.status,
    ConsumerCreationTimestamp: consumer.createdMs / 1000,
  };
}
