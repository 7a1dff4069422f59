/**
 * Owns: one TransactWriteItems: the change of a row first, the user's writes after it; what a cancelled one says.
 * Must not: retry, or know what a row is.
 * Called by: `dynamo_lease_store.ts`.
 *
 * @module
 */

import {
  type CancellationReason,
  type DynamoDBClient,
  type TransactWriteItem,
  TransactWriteItemsCommand,
  type Update,
} from "@aws-sdk/client-dynamodb";
import { type RefusedItem, StoreError } from "../errors.ts";
import type { Transaction } from "../ports.ts";
import { withoutRetries } from "./aws_calls.ts";
import { isNamed } from "./aws_errors.ts";
import type { Item } from "./row_codec.ts";

/** What became of it. Of a conflict, `item` is the row as it stands, if there is one and DynamoDB tells. */
export type Sent =
  | { readonly kind: "written" }
  | { readonly kind: "conflict"; readonly item: Item | undefined }
  | { readonly kind: "refused"; readonly refused: readonly RefusedItem[] };

const NONE = "None";
/** Reasons that are gone when the same is sent again. */
const THROTTLED = new Set([
  "ProvisionedThroughputExceeded",
  "RequestLimitExceeded",
  "ThrottlingError",
]);
const CONTENDED = "TransactionConflict";

/**
 * Sends it once.
 *
 * @throws {StoreError} If it was cancelled for a while only: `throttled`, or `unavailable` when others are writing the same items.
 * @throws What the SDK throws otherwise.
 */
export async function sendTransaction(
  client: DynamoDBClient,
  { row, items, token }: Transaction & { readonly row: Omit<Update, "UpdateExpression"> },
  signal: AbortSignal,
): Promise<Sent> {
  // DynamoDB refuses a change of a row that has no update; each checkpoint has one.
  const first: TransactWriteItem = { Update: row as Update };
  const command = new TransactWriteItemsCommand({
    // The SDK's types say that it may change what it only reads.
    TransactItems: [first, ...items as readonly TransactWriteItem[]],
    ClientRequestToken: token,
  });
  try {
    await client.send(withoutRetries(command), { abortSignal: signal });
    return { kind: "written" };
  } catch (error) {
    // By name: the client may be the user's, of another SDK.
    if (!isNamed(error, "TransactionCanceledException")) throw error;
    return cancelled(error as { readonly CancellationReasons?: CancellationReason[] });
  }
}

function cancelled(
  error: { readonly CancellationReasons?: readonly CancellationReason[] },
): Sent {
  const [ofRow, ...ofItems] = error.CancellationReasons ?? [];
  if (ofRow?.Code === "ConditionalCheckFailed") return { kind: "conflict", item: ofRow.Item };
  const refused = ofItems.flatMap((reason, index) => refusedItemOf(reason, index) ?? []);
  if (refused.length > 0) return { kind: "refused", refused };
  const codes = [ofRow, ...ofItems].map((reason) => reason?.Code ?? NONE);
  const told = [...new Set(codes)].filter((code) => code !== NONE).join(", ") || "no reason given";
  const isThrottled = codes.some((code) => THROTTLED.has(code));
  const isContended = codes.includes(CONTENDED);
  throw new StoreError(
    `Cannot write the transaction: DynamoDB cancelled it (${told}), with nothing done` +
      (isContended ? "; others are writing the same items" : ""),
    {
      kind: isThrottled ? "throttled" : isContended ? "unavailable" : "invalid",
      cause: error,
    },
  );
}

function refusedItemOf(
  { Code, Message, Item }: CancellationReason,
  index: number,
): RefusedItem | null {
  const code = Code ?? NONE;
  if (code === NONE || code === CONTENDED || THROTTLED.has(code)) return null;
  return { index, code, message: Message ?? "", ...Item !== undefined && { item: Item } };
}
