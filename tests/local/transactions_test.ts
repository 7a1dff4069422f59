// Proves that the local DynamoDB does all of a transaction or nothing, and refuses what DynamoDB refuses.
import {
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";

const TableName = "totals";
const names = { "#n": "n" };

function add(id: string): TransactWriteItem {
  const values = { ":one": { N: "1" } };
  return {
    Update: {
      ...{ TableName, Key: { id: { S: id } }, UpdateExpression: "ADD #n :one" },
      ...{ ExpressionAttributeNames: names, ExpressionAttributeValues: values },
    },
  };
}

function check(id: string): TransactWriteItem {
  const Key = { id: { S: id } };
  return { ConditionCheck: { TableName, Key, ConditionExpression: "attribute_exists(id)" } };
}

interface Local {
  send(items: TransactWriteItem[], token?: string): Promise<unknown>;
  /** What stands there; undefined for nothing. */
  read(id: string): Promise<string | undefined>;
  put(id: string, n: string | number): Promise<unknown>;
}

async function local(work: (local: Local) => Promise<void>): Promise<void> {
  await using server = await startLocalDynamoDB({ port: 0 });
  const client = new DynamoDBClient({
    ...{ endpoint: server.url, region: "us-east-1", maxAttempts: 1 },
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  await client.send(
    new CreateTableCommand({
      ...{ TableName, BillingMode: "PAY_PER_REQUEST" },
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    }),
  );
  const limits = { client, minDelay: 0.01, maxDelay: 0.1, maxWaitTime: 20 };
  await waitUntilTableExists(limits, { TableName });
  try {
    await work({
      send: (TransactItems, ClientRequestToken) =>
        client.send(new TransactWriteItemsCommand({ TransactItems, ClientRequestToken })),
      async read(id) {
        const input = { TableName, Key: { id: { S: id } }, ConsistentRead: true };
        const { Item } = await client.send(new GetItemCommand(input));
        return Item && (Item.n?.N ?? Item.n?.S ?? "");
      },
      put: (id, n) => {
        const value = typeof n === "number" ? { N: String(n) } : { S: n };
        return client.send(new PutItemCommand({ TableName, Item: { id: { S: id }, n: value } }));
      },
    });
  } finally {
    client.destroy();
  }
}

/** The codes of the reasons for which it was cancelled. */
async function codes(sent: Promise<unknown>): Promise<readonly unknown[]> {
  const error = await assertRejects(() => sent);
  assertEquals((error as Error).name, "TransactionCanceledException");
  const { CancellationReasons } = error as unknown as {
    readonly CancellationReasons: readonly { readonly Code: string }[];
  };
  return CancellationReasons.map(({ Code }) => Code);
}

async function refused(sent: Promise<unknown>): Promise<string> {
  const { name, message } = await assertRejects(() => sent, Error);
  return `${name}: ${message}`;
}

Deno.test("local transactions: what was written before a refused write is put back as it was", async () => {
  await local(async ({ send, read, put }) => {
    await put("old", 5);
    const Delete = { TableName, Key: { id: { S: "gone" } } };
    await put("gone", 7);
    const reasons = await codes(send([add("old"), add("new"), { Delete }, check("none")]));
    assertEquals(reasons, ["None", "None", "None", "ConditionalCheckFailed"]);
    assertEquals([await read("old"), await read("new"), await read("gone")], ["5", undefined, "7"]);
    await send([add("old"), add("new"), { Delete }, check("old2")]).catch(() => {});
    await send([add("old"), add("new"), { Delete }]);
    assertEquals([await read("old"), await read("new"), await read("gone")], ["6", "1", undefined]);
  });
});

Deno.test("local transactions: a check writes nothing", async () => {
  await local(async ({ send, read, put }) => {
    await put("there", 1);
    await send([check("there"), add("a")]);
    assertEquals([await read("there"), await read("a")], ["1", "1"]);
    const ConditionCheck = {
      ...{ TableName, Key: { id: { S: "none" } } },
      ConditionExpression: "attribute_not_exists(id)",
    };
    await send([{ ConditionCheck }, add("a")]);
    assertEquals([await read("none"), await read("a")], [undefined, "2"]);
  });
});

Deno.test("local transactions: a write that does not fit the item is a reason, one that fits none is no transaction", async () => {
  await local(async ({ send, read, put }) => {
    await put("text", "no number");
    assertEquals(await codes(send([add("a"), add("text")])), ["None", "ValidationError"]);
    const Update = { TableName, Key: { id: { S: "b" } }, UpdateExpression: "MULTIPLY n :one" };
    assert(
      (await refused(send([add("a"), { Update }]))).startsWith("ValidationException: Invalid"),
    );
    assertEquals([await read("a"), await read("b")], [undefined, undefined]);
  });
});

Deno.test("local transactions: what DynamoDB would not take is refused, and nothing of it is written", async () => {
  await local(async ({ send, read }) => {
    const items = Array.from({ length: 100 }, (_, i) => add(`i${i}`));
    await send(items);
    assertEquals([await read("i0"), await read("i99")], ["1", "1"]);
    const large = { id: { S: "large" }, b: { S: "x".repeat(4 * 1_048_576) } };
    for (
      const [bad, text] of [
        [[...items, add("more")], "less than or equal to 100"],
        [[], "at least 1"],
        [[add("a"), add("a")], "multiple operations on one item"],
        [[{ Put: { TableName, Item: large } }], "4 MB"],
        [[{ ...add("a"), ...check("b") }], "only contain one of"],
      ] as const
    ) {
      const message = await refused(send([...bad]));
      assert(message.startsWith("ValidationException") && message.includes(text), message);
    }
    const elsewhere = { Put: { TableName: "none", Item: { id: { S: "a" } } } };
    assert((await refused(send([elsewhere]))).startsWith("ResourceNotFoundException"));
    assertEquals(await read("a"), undefined);
  });
});

Deno.test("local transactions: a token makes it once, and stands for one request", async () => {
  await local(async ({ send, read }) => {
    await send([add("a")], "token-1");
    await send([add("a")], "token-1");
    await send([add("a")], "token-2");
    assertEquals(await read("a"), "2");
    const other = await refused(send([add("b")], "token-1"));
    assert(other.startsWith("IdempotentParameterMismatchException"), other);
    assert((await refused(send([add("b")], "x".repeat(37)))).includes("1 to 36 characters"));
    // One that was cancelled may be sent again.
    await codes(send([add("c"), check("d")], "token-3"));
    await send([add("d")]);
    await send([add("c"), check("d")], "token-3");
    assertEquals([await read("b"), await read("c")], [undefined, "1"]);
  });
});

Deno.test("local transactions: nobody sees half of one", async () => {
  await local(async ({ send, read, put }) => {
    await put("left", 0);
    await put("right", 0);
    for (let round = 0; round < 20; round++) {
      const sent = send([add("left"), add("right"), check("none")]).catch(() => {});
      const [left, right] = await Promise.all([read("left"), read("right")]);
      await sent;
      assertEquals([left, right], ["0", "0"]);
    }
  });
});
