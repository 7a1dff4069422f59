/**
 * Owns: trying whether rows may be written, without writing one.
 * Must not: change anything, whatever is in the table.
 * Called by: `observe.ts`.
 *
 * @module
 */

import {
  DeleteItemCommand,
  type DynamoDBClient,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { withoutRetries } from "../../adapters/aws_calls.ts";
import { isNamed } from "../../adapters/aws_errors.ts";
import { HASH_KEY, RANGE_KEY } from "../../adapters/row_codec.ts";
import type { Asking } from "./asking.ts";

/** Which rows. */
export interface WritesOf {
  readonly streamName: string;
  readonly tableName: string;
}

/** No kind of row has this name, and the condition never holds: IAM decides before DynamoDB looks at it. */
const NO_ROW = "doctor";
const NEVER = "attribute_exists(#row) AND attribute_not_exists(#row)";

/** Tries to write a row and to delete one, on a condition that cannot hold. */
export async function tryWrites(
  { streamName, tableName }: WritesOf,
  asking: Asking,
  client: DynamoDBClient,
): Promise<void> {
  const request = {
    TableName: tableName,
    Key: { [HASH_KEY]: { S: streamName }, [RANGE_KEY]: { S: NO_ROW } },
    ConditionExpression: NEVER,
  };
  const question = { service: "DynamoDB", task: `write state table "${tableName}"` } as const;
  await asking.ask(
    { ...question, action: "dynamodb:UpdateItem" },
    () =>
      refused(() =>
        client.send(withoutRetries(
          new UpdateItemCommand({
            ...request,
            UpdateExpression: "SET #doctor = :doctor",
            ExpressionAttributeNames: { "#row": RANGE_KEY, "#doctor": "Doctor" },
            ExpressionAttributeValues: { ":doctor": { BOOL: true } },
          }),
        ))
      ),
  );
  await asking.ask(
    { ...question, action: "dynamodb:DeleteItem" },
    () =>
      refused(() =>
        client.send(withoutRetries(
          new DeleteItemCommand({ ...request, ExpressionAttributeNames: { "#row": RANGE_KEY } }),
        ))
      ),
  );
}

/** That the condition did not hold says that the call was allowed. */
async function refused(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!isNamed(error, "ConditionalCheckFailedException")) throw error;
  }
}
