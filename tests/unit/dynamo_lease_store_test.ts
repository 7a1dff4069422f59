import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { type HttpRequest, HttpResponse } from "@smithy/core/protocols";
import { assertEquals, assertRejects } from "@std/assert";
import { DynamoLeaseStore } from "../../src/adapters/dynamo_lease_store.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { claim, create, forget, newShardRow } from "../../src/core/lease.ts";
import { StoreError } from "../../src/errors.ts";
import type { AppFact } from "../../src/events.ts";
import { LeapingClock } from "../leaping_clock.ts";

type Reply = { readonly status: number; readonly body: object } | Error;

const ROW = newShardRow({ id: "shard-1", parents: [], hashKeyRange: null }, TRIM_HORIZON);
const ITEM = {
  Term: { N: "0" },
  Checkpoint: { S: "TRIM_HORIZON" },
  Parents: { L: [] },
  StoppedBy: { L: [] },
};
const ANNA = { workerId: "anna", incarnation: "anna-1" };
const CONFLICT = refusal("ConditionalCheckFailedException");

Deno.test("a write is sent once, whatever the client of the user retries", async () => {
  const lost = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
  for (const reply of [refusal("InternalServerError", 500), lost]) {
    for (const change of [create(ROW), claim(ROW, ANNA), forget(ROW)]) {
      const { store, operations } = setUp([reply]);
      const error = await assertRejects(() => store.write(change, signal()), StoreError);
      assertEquals([error.kind, error.maybeApplied], ["unavailable", true]);
      assertEquals(operations.length, 1);
    }
  }
});

Deno.test("a transaction whose row could not be looked at is nobody's fault, whatever its items say", async () => {
  const reasons = [{ Code: "TransactionConflict" }, { Code: "ConditionalCheckFailed" }];
  const __type = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
  const body = { __type, Message: "cancelled", CancellationReasons: reasons };
  const { store } = setUp([{ status: 400, body }]);
  const Put = { TableName: "sink", Item: { id: { S: "a" } } };
  const change = claim(ROW, ANNA);
  const transact = () => store.transact(change, { items: [{ Put }], token: "t" }, signal());
  const error = await assertRejects(transact, StoreError);
  assertEquals([error.kind, error.maybeApplied], ["unavailable", false]);
});

Deno.test("a write that was refused or never sent was not applied", async () => {
  const unsent = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  const replies: readonly (readonly [Reply, string])[] = [
    [refusal("ProvisionedThroughputExceededException"), "throttled"],
    [refusal("AccessDeniedException"), "denied"],
    [refusal("ResourceNotFoundException"), "missing"],
    [refusal("ValidationException"), "invalid"],
    [unsent, "unavailable"],
  ];
  for (const [reply, kind] of replies) {
    const { store, operations } = setUp([reply]);
    const error = await assertRejects(() => store.write(create(ROW), signal()), StoreError);
    assertEquals([error.kind, error.maybeApplied], [kind, false]);
    assertEquals(operations, ["UpdateItem"]);
  }
});

Deno.test("a conflict that tells the row needs no reading", async () => {
  for (const change of [claim(ROW, ANNA), forget(ROW)]) {
    const { store, requests } = setUp([refusal("ConditionalCheckFailedException", 400, ITEM)]);
    assertEquals(await store.write(change, signal()), { kind: "conflict", row: ROW });
    const asked = requests.map((request) => request["ReturnValuesOnConditionCheckFailure"]);
    assertEquals(asked, ["ALL_OLD"]);
  }
});

Deno.test("a conflict that does not tell the row is read consistently", async () => {
  for (const [body, row] of [[{ Item: ITEM }, ROW], [{}, null]] as const) {
    const { store, operations, requests } = setUp([CONFLICT, { status: 200, body }]);
    assertEquals(await store.write(claim(ROW, ANNA), signal()), { kind: "conflict", row });
    assertEquals(operations, ["UpdateItem", "GetItem"]);
    assertEquals(requests[1]?.["ConsistentRead"], true);
  }
});

Deno.test("a written row that cannot be understood may have been applied", async () => {
  const { store } = setUp([{ status: 200, body: { Attributes: { Term: { N: "1" } } } }]);
  const error = await assertRejects(() => store.write(claim(ROW, ANNA), signal()), StoreError);
  assertEquals([error.kind, error.maybeApplied], ["invalid", true]);
});

Deno.test("a read is tried again, and throttling is told", async () => {
  const { store, operations, facts } = setUp([
    refusal("ThrottlingException"),
    { status: 200, body: { Item: ITEM } },
  ]);
  assertEquals(await store.read("shard", "shard-1", signal()), ROW);
  assertEquals(operations, ["GetItem", "GetItem"]);
  assertEquals(facts, [
    { type: "throttled", shardId: null, operation: "GetItem", retryInMs: 200 },
  ]);
});

Deno.test("a read that fails has applied nothing", async () => {
  const { store } = setUp([refusal("InternalServerError", 500)]);
  const error = await assertRejects(() => store.read("shard", "shard-1", signal()), StoreError);
  assertEquals([error.kind, error.maybeApplied], ["unavailable", false]);
});

Deno.test("a list is read to its last page", async () => {
  const page = (id: string, LastEvaluatedKey?: object): Reply => ({
    status: 200,
    body: { Items: [{ ...ITEM, Row: { S: `shard/${id}` } }], LastEvaluatedKey },
  });
  const key = { Stream: { S: "orders" }, Row: { S: "shard/1" } };
  const { store, requests } = setUp([page("1", key), page("2")]);
  const { rows } = await store.list("shard", signal());
  assertEquals(rows.map((row) => row.id), ["1", "2"]);
  assertEquals(requests.map((request) => request["ExclusiveStartKey"]), [undefined, key]);
  assertEquals(requests.map((request) => request["ConsistentRead"]), [true, true]);
});

Deno.test("the message of a failed write names the table and the permission", async () => {
  const { store } = setUp([refusal("AccessDeniedException")]);
  await assertRejects(
    () => store.write(create(ROW), signal()),
    StoreError,
    'Cannot write state table "appKinesisState": the credentials lack dynamodb:UpdateItem',
  );
});

function setUp(replies: readonly Reply[]) {
  const left = [...replies];
  const operations: string[] = [];
  const requests: Record<string, unknown>[] = [];
  const requestHandler = {
    metadata: { handlerProtocol: "http/1.1" },
    httpHandlerConfigs: () => ({}),
    updateHttpClientConfig: () => {},
    destroy: () => {},
    handle(request: HttpRequest) {
      operations.push(request.headers["x-amz-target"]?.split(".")[1] ?? "");
      requests.push(JSON.parse(new TextDecoder().decode(request.body)));
      // The last reply is given again to those who ask again.
      const reply = left.length > 1 ? left.shift() : left[0];
      if (reply === undefined || reply instanceof Error) return Promise.reject(reply);
      const body = new TextEncoder().encode(JSON.stringify(reply.body));
      const headers = { "content-type": "application/x-amz-json-1.0" };
      const response = new HttpResponse({ statusCode: reply.status, headers, body });
      return Promise.resolve({ response });
    },
  };
  const client = new DynamoDBClient({
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    requestHandler,
    maxAttempts: 3,
  });
  const facts: AppFact[] = [];
  const store = new DynamoLeaseStore({
    client,
    tableName: "appKinesisState",
    streamName: "orders",
    config: resolveConfig({ maxDynamoDBRetries: 1 }),
    clock: new LeapingClock(),
    emit: (fact) => facts.push(fact),
  });
  return { store, operations, requests, facts };
}

function refusal(name: string, status = 400, Item?: object): Reply {
  const type = `com.amazonaws.dynamodb.v20120810#${name}`;
  return { status, body: { __type: type, message: "said AWS", Item } };
}

function signal(): AbortSignal {
  return new AbortController().signal;
}
