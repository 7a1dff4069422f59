/**
 * Owns: what a user has written together with a checkpoint: the types of DynamoDB's TransactWriteItems, as every version of the AWS SDK
 * has them.
 * Must not: contain code, or depend on the SDK's types, which differ between versions.
 * Called by: users, through `mod.ts`; `processor.ts`, `ports.ts`, `errors.ts`.
 *
 * @module
 */

/** A value, as DynamoDB writes it: one of these. `marshall` of `@aws-sdk/util-dynamodb` makes it. */
export interface AttributeValue {
  /** A text. */
  readonly S?: string | undefined;
  /** A number, as text. */
  readonly N?: string | undefined;
  /** Bytes. */
  readonly B?: Uint8Array | undefined;
  /** True or false. */
  readonly BOOL?: boolean | undefined;
  /** Nothing. */
  readonly NULL?: boolean | undefined;
  /** A set of texts. */
  readonly SS?: readonly string[] | undefined;
  /** A set of numbers. */
  readonly NS?: readonly string[] | undefined;
  /** A set of bytes. */
  readonly BS?: readonly Uint8Array[] | undefined;
  /** A list. */
  readonly L?: readonly AttributeValue[] | undefined;
  /** A map. */
  readonly M?: AttributeMap | undefined;
}

/** Attributes by name. */
export type AttributeMap = Readonly<Record<string, AttributeValue>>;

/** What all writes of a transaction have. */
export interface ItemCondition {
  /** The table, in the account and the region of the state table. */
  readonly TableName: string | undefined;
  /** What must hold of the item, or the whole transaction is refused. */
  readonly ConditionExpression?: string | undefined;
  /** What `#names` in expressions stand for. */
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>> | undefined;
  /** What `:values` in expressions stand for. */
  readonly ExpressionAttributeValues?: AttributeMap | undefined;
  /** `ALL_OLD`: if its condition does not hold, the error carries the item as it stands. */
  readonly ReturnValuesOnConditionCheckFailure?: "ALL_OLD" | "NONE" | undefined;
}

/** One write of a transaction: exactly one of these. The SDK's `TransactWriteItem` is one. */
export interface TransactionItem {
  /** Puts a whole item in the place of what is there. */
  readonly Put?: ItemCondition & { readonly Item: AttributeMap | undefined } | undefined;
  /** Changes an item, or makes it. */
  readonly Update?:
    | ItemCondition & {
      readonly Key: AttributeMap | undefined;
      readonly UpdateExpression: string | undefined;
    }
    | undefined;
  /** Deletes an item. */
  readonly Delete?: ItemCondition & { readonly Key: AttributeMap | undefined } | undefined;
  /** Writes nothing; asks for its condition. */
  readonly ConditionCheck?: ItemCondition & { readonly Key: AttributeMap | undefined } | undefined;
}
