/**
 * Owns: what the commands of the guides work on: a local stack with a stream that records come into, tables, workers.
 * Must not: assert.
 * Called by: the tests of the documents.
 *
 * @module
 */

import { CreateTableCommand, DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { retry } from "@std/async/retry";
import { type AwsOptions, ReactoKinesixApp } from "../../mod.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";

const PUT_EVERY_MS = 100;

/** What comes into the stream all the time: something for each filter, and something that fails. */
const RECORDS: readonly (readonly [partitionKey: string, data: string])[] = [
  ["customer-1", JSON.stringify({ id: "A-1", total: 12, type: "refund" })],
  ["eu-1", JSON.stringify({ id: "A-2", total: 101, type: "order" })],
  ["customer-2", "no JSON"],
];

/** A cluster, and how programs reach it. */
export interface GuideCluster extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  /** A record that is in the first shard. */
  readonly sequenceNumber: string;
}

/** Starts the cluster of the guides; workers too, if they are to be at work. */
export async function startGuideCluster(isAtWork: boolean): Promise<GuideCluster> {
  await using disposables = new AsyncDisposableStack();
  const kinesis = disposables.use(serveLocalKinesis({ port: 0 }));
  const dynamoDB = disposables.use(await startLocalDynamoDB({ port: 0 }));
  kinesis.engine.call("CreateStream", { StreamName: "orders", ShardCount: 4 });
  const sequenceNumber = putRecords(kinesis);
  const timer = setInterval(putRecords, PUT_EVERY_MS, kinesis);
  disposables.defer(() => clearInterval(timer));
  await makeKclTable(dynamoDB.url);
  const aws = { kinesisEndpoint: kinesis.url, dynamoDBEndpoint: dynamoDB.url };
  for (const workerId of isAtWork ? ["worker-a", "worker-b"] : []) {
    disposables.use(await startWorker(workerId, aws));
  }
  const all = disposables.move();
  return {
    sequenceNumber,
    env: {
      AWS_ENDPOINT_URL_KINESIS: kinesis.url,
      AWS_ENDPOINT_URL_DYNAMODB: dynamoDB.url,
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local",
      AWS_REGION: "us-east-1",
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Puts records of all kinds into each shard; returns the position of one in the first shard. */
function putRecords({ engine }: LocalKinesis): string {
  const positions = Array.from({ length: 4 }, (_, shard) => {
    const ExplicitHashKey = String(BigInt(shard) << 126n);
    const answers = RECORDS.map(([PartitionKey, data]) =>
      engine.call("PutRecord", {
        StreamName: "orders",
        PartitionKey,
        ExplicitHashKey,
        Data: btoa(data),
      })
    );
    return String(Object(answers[0]).SequenceNumber);
  });
  return positions[0] ?? "";
}

/** The lease table of an app with the Kinesis Client Library that is stopped. */
async function makeKclTable(endpoint: string): Promise<void> {
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  const client = new DynamoDBClient({ endpoint, region: "us-east-1", credentials });
  const TableName = "my-kcl-app";
  try {
    await client.send(
      new CreateTableCommand({
        TableName,
        KeySchema: [{ AttributeName: "leaseKey", KeyType: "HASH" }],
        AttributeDefinitions: [{ AttributeName: "leaseKey", AttributeType: "S" }],
        BillingMode: "PAY_PER_REQUEST",
      }),
    );
    for (let shard = 0; shard < 4; shard++) {
      const Item = {
        leaseKey: { S: `shardId-00000000000${shard}` },
        leaseCounter: { N: "17" },
        checkpoint: { S: "TRIM_HORIZON" },
      };
      // The table is there a moment after it was made.
      await retry(() => client.send(new PutItemCommand({ TableName, Item })), { minTimeout: 20 });
    }
  } finally {
    client.destroy();
  }
}

function startWorker(workerId: string, aws: AwsOptions): Promise<ReactoKinesixApp> {
  return ReactoKinesixApp.createNew({
    ...aws,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    appName: "orders-billing",
    streamName: "orders",
    workerId,
    processor: { process() {} },
    config: { heartbeat: 200, heartbeatTimeout: 30_000, emptyReceiveDelay: 200 },
  });
}
