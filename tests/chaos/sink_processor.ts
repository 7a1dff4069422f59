// Counts in a table of DynamoDB how often each record was written: with the checkpoint, or, with `SINK_MODE=plain`, on its own, as
// whoever does without transactions would. `process.env` of the worker says where.
import { DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { dynamoSink, type KinesisRecord, type RecordProcessor, retryAndStop } from "../../mod.ts";

const TableName = Deno.env.get("SINK_TABLE") ?? "";
const isPlain = Deno.env.get("SINK_MODE") === "plain";

function counting(record: KinesisRecord) {
  return {
    TableName,
    Key: { id: { S: record.text() } },
    UpdateExpression: "ADD #count :one",
    ExpressionAttributeNames: { "#count": "count" },
    ExpressionAttributeValues: { ":one": { N: "1" } },
  };
}

const getErrorHandlingMode = () => retryAndStop(100);
const client = new DynamoDBClient({
  endpoint: Deno.env.get("SINK_ENDPOINT") ?? "",
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
});
const plain: RecordProcessor = {
  async process(record) {
    await client.send(new UpdateItemCommand(counting(record)));
  },
  getErrorHandlingMode,
};

const processor: RecordProcessor = isPlain ? plain : dynamoSink({
  items: (record) => [{ Update: counting(record) }],
  getErrorHandlingMode,
});

export default processor;
