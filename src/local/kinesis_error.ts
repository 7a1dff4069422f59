// Owns: the errors the local Kinesis answers, with the names and words that AWS uses.
// Must not: know how an error travels (that is the JSON protocol's part).
// Called by: every file of the engine, and by tests that make a call fail on purpose.

/** ARNs of the local Kinesis name this account; nothing checks it. */
export const ACCOUNT_ID = "000000000000";

/** An error reply of the service; `name` is the AWS error code that SDKs turn into a typed error. */
export class KinesisError extends Error {
  override readonly name: string;
  /** The HTTP status: 400 for the caller's mistakes, 500 for the service's own. */
  readonly status: number;

  constructor(name: string, message: string, status: number = 400) {
    super(message);
    this.name = name;
    this.status = status;
  }
}

export function invalidArgument(message: string): KinesisError {
  return new KinesisError("InvalidArgumentException", message);
}

export function streamNotFound(streamName: string): KinesisError {
  return new KinesisError(
    "ResourceNotFoundException",
    `Stream ${streamName} under account ${ACCOUNT_ID} not found.`,
  );
}

export function shardNotFound(streamName: string, shardId: string): KinesisError {
  return new KinesisError(
    "ResourceNotFoundException",
    `Could not find shard ${shardId} in stream ${streamName} under account ${ACCOUNT_ID}.`,
  );
}

export function consumerNotFound(consumerName: string): KinesisError {
  return new KinesisError(
    "ResourceNotFoundException",
    `Consumer ${consumerName} under account ${ACCOUNT_ID} not found.`,
  );
}

export function rateExceeded(streamName: string, shardId: string): KinesisError {
  return new KinesisError(
    "ProvisionedThroughputExceededException",
    `Rate exceeded for shard ${shardId} in stream ${streamName} under account ${ACCOUNT_ID}.`,
  );
}
