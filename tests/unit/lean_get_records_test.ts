// Proves that GetRecords is called as the SDK would call it: where, how it is signed and by whose credentials, what an error does.
import {
  GetRecordsCommand,
  type GetRecordsCommandOutput,
  KinesisClient,
  type KinesisClientConfig,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { HttpRequest, HttpResponse } from "@smithy/core/protocols";
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { connectAws, withoutRetries } from "../../src/adapters/aws_calls.ts";
import { classify } from "../../src/adapters/aws_errors.ts";
import { ReadRecord } from "../../src/adapters/fast_get_records.ts";
import { callGetRecordsLean } from "../../src/adapters/lean_get_records.ts";

const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "first", secretAccessKey: "secret", sessionToken: "token" },
  maxAttempts: 1,
};
const HEADERS = { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": "1" };
const RECORD =
  '{"SequenceNumber":"1","Data":"SGk=","ApproximateArrivalTimestamp":1,"PartitionKey":"k"}';
const ANSWER = `{"Records":[${RECORD}],"NextShardIterator":"next","MillisBehindLatest":5}`;
const HOUR_MS = 3_600_000;
/** Each call has its own. */
const OF_A_CALL = ["amz-sdk-invocation-id", "amz-sdk-request", "authorization", "x-amz-date"];

type Reply = () => {
  readonly statusCode: number;
  readonly headers?: Record<string, string>;
  readonly body: string;
};

/** A client with what it sent, and how. */
function open(config: KinesisClientConfig = {}) {
  const sent: { readonly request: HttpRequest; readonly options: unknown }[] = [];
  const server: { reply: Reply } = { reply: () => ({ statusCode: 200, body: ANSWER }) };
  const client = new KinesisClient({
    ...AWS,
    ...config,
    requestHandler: {
      handle(request: HttpRequest, options: unknown) {
        sent.push({ request, options });
        const { statusCode, headers, body } = server.reply();
        const answer = { statusCode, headers: { ...HEADERS, ...headers } };
        const response = new HttpResponse({ ...answer, body: new TextEncoder().encode(body) });
        return Promise.resolve({ response });
      },
    },
  });
  callGetRecordsLean(client);
  const ask = (options?: { readonly abortSignal: AbortSignal }) =>
    client.send(
      withoutRetries(new GetRecordsCommand({ ShardIterator: "iterator", Limit: 7 })),
      options,
    );
  return { client, sent, server, ask };
}

/** What the lean way gives: the SDK makes plain objects. */
function isLean({ Records = [] }: GetRecordsCommandOutput): boolean {
  return Records[0] instanceof ReadRecord;
}

/** The first call, which the SDK makes. */
async function learn(ask: () => Promise<GetRecordsCommandOutput>): Promise<void> {
  assert(!isLean(await ask()), "nobody knows yet how the SDK calls");
}

Deno.test("the call is the one that the SDK makes", async () => {
  const { client, sent, ask } = open({ customUserAgent: "mine/1" });
  await learn(ask);
  assert(isLean(await ask()));
  const [bySdk, lean] = sent.map(({ request }) => request);
  assert(bySdk !== undefined && lean !== undefined);
  const place = ({ method, protocol, hostname, port, path, query, body }: HttpRequest) => {
    const text = typeof body === "string" ? body : new TextDecoder().decode(body);
    return { method, protocol, hostname, port, path, query, body: JSON.parse(text) };
  };
  assertEquals(place(lean), place(bySdk));
  const steady = ({ headers }: HttpRequest) =>
    Object.entries(headers).filter(([name]) => !OF_A_CALL.includes(name.toLowerCase())).sort();
  assertEquals(steady(lean), steady(bySdk));
  assertMatch(lean.headers["authorization"] ?? "", /SignedHeaders=[^,]*x-amz-target/);
  assertEquals(lean.headers["authorization"], await signatureOf(lean, client));
});

Deno.test("other calls go the way of the SDK, and teach nothing: they may have another place", async () => {
  const credentials = { ...AWS.credentials, accountId: "123456789012" };
  const { client, sent, ask } = open({ credentials });
  const list = () => client.send(new ListShardsCommand({ StreamName: "orders" }));
  await list();
  assert(!isLean(await ask()));
  assert(isLean(await ask()));
  await list();
  const control = "123456789012.control-kinesis.us-east-1.amazonaws.com";
  const data = "123456789012.data-kinesis.us-east-1.amazonaws.com";
  assertEquals(sent.map(({ request }) => request.hostname), [control, data, data, control]);
  assertEquals(sent[3]?.request.headers["x-amz-target"], "Kinesis_20131202.ListShards");
});

Deno.test("of calls that begin together the SDK makes one; the others wait until it is on its way, or has failed", async () => {
  const { ask } = open();
  const outputs = await Promise.all([ask(), ask(), ask()]);
  assertEquals(outputs.map(isLean), [false, true, true]);
  let tries = 0;
  const credentials = () =>
    ++tries === 1 ? Promise.reject(new Error("none yet")) : Promise.resolve(AWS.credentials);
  const late = open({ credentials });
  const [first, ...others] = await Promise.allSettled([late.ask(), late.ask(), late.ask()]);
  assertEquals(first.status, "rejected");
  for (const other of others) {
    assert(other.status === "rejected" || !isLean(other.value), "nobody knew yet");
  }
  await late.ask();
  assert(isLean(await late.ask()));
});

Deno.test("one signer signs all calls; one that could not be made is made again", async () => {
  const { client, ask } = open();
  let made = 0;
  class CountedSigner {
    constructor() {
      if (++made === 1) throw new Error("not yet");
    }
    sign = (request: HttpRequest) => Promise.resolve(request);
  }
  Object.assign(client.config, { signerConstructor: CountedSigner });
  await assertRejects(ask, Error, "not yet");
  for (let call = 0; call < 3; call++) await ask();
  assertEquals(made, 2);
});

Deno.test("an SDK that names its operations otherwise makes all calls", async () => {
  const { client, ask } = open();
  client.middlewareStack.add((next) => (args) => {
    const { headers } = args.request as HttpRequest;
    headers["x-operation"] = headers["x-amz-target"] ?? "";
    delete headers["x-amz-target"];
    return next(args);
  }, { step: "build", priority: "high" });
  for (let calls = 0; calls < 3; calls++) assert(!isLean(await ask()));
});

Deno.test("each call is signed with the credentials of the moment", async () => {
  let key = "first";
  const credentials = () =>
    // They expire at once, so the SDK asks for new ones each time.
    Promise.resolve({ ...AWS.credentials, accessKeyId: key, expiration: new Date() });
  const { sent, ask } = open({ credentials });
  await learn(ask);
  await ask();
  key = "second";
  await ask();
  const keys = sent.map(({ request }) =>
    /Credential=(\w+)/.exec(request.headers["authorization"] ?? "")?.[1]
  );
  assertEquals(keys, ["first", "first", "second"]);
});

Deno.test("an error is that of the SDK, and a wrong clock is corrected for the next call", async () => {
  const { sent, server, ask } = open();
  await learn(ask);
  const date = new Date(Date.now() + HOUR_MS).toUTCString();
  const body = '{"__type":"InvalidSignatureException","message":"Signature expired"}';
  server.reply = () => ({ statusCode: 400, headers: { date }, body });
  const error = await assertRejects(() => ask());
  assert(error instanceof Error);
  assertEquals([error.name, error.message], ["InvalidSignatureException", "Signature expired"]);
  assertEquals(sent.length, 2, "the answer that came is read; nothing is sent for it");
  server.reply = () => ({ statusCode: 200, body: ANSWER });
  assert(isLean(await ask()));
  const [, , { request } = { request: new HttpRequest({}) }] = sent;
  const ahead = dateOf(request).getTime() - Date.now();
  assert(Math.abs(ahead - HOUR_MS) < 60_000, `signed for ${ahead} ms ahead`);
});

Deno.test("an answer without an error corrects the clock too, before it is so wrong that calls fail", async () => {
  const { sent, server, ask } = open();
  await learn(ask);
  const date = new Date(Date.now() + HOUR_MS).toUTCString();
  server.reply = () => ({ statusCode: 200, headers: { date }, body: ANSWER });
  assert(isLean(await ask()));
  await ask();
  const last = sent.at(-1)?.request;
  assert(last !== undefined);
  const ahead = dateOf(last).getTime() - Date.now();
  assert(Math.abs(ahead - HOUR_MS) < 60_000, `signed for ${ahead} ms ahead`);
});

Deno.test("a clock that is set right costs one call that is made again, and none that is denied", async () => {
  const { server, ask } = open();
  await learn(ask);
  const date = new Date(Date.now() + HOUR_MS).toUTCString();
  server.reply = () => ({ statusCode: 200, headers: { date }, body: ANSWER });
  await ask();
  // The correction of an hour is wrong from now on.
  const body = '{"__type":"InvalidSignatureException","message":"Signature not yet current: 1"}';
  const now = new Date().toUTCString();
  server.reply = () => ({ statusCode: 400, headers: { date: now }, body });
  const error = await assertRejects(() => ask());
  assertEquals(classify(error), { kind: "unavailable", maybeApplied: false });
});

Deno.test("the end of a shard and whatever else is unusual is read by the SDK", async () => {
  const { sent, server, ask } = open();
  await learn(ask);
  const children = '"ChildShards":[{"ShardId":"c","ParentShards":["p"]}]';
  server.reply = () => ({ statusCode: 200, body: `{"Records":[${RECORD}],${children}}` });
  const output = await ask();
  assert(!isLean(output));
  assertEquals(output.ChildShards?.[0]?.ShardId, "c");
  assertEquals(sent.length, 2);
});

Deno.test("whoever waits may give up", async () => {
  const { sent, ask } = open();
  await learn(ask);
  const { signal } = new AbortController();
  await ask({ abortSignal: signal });
  const { abortSignal } = sent[1]?.options as { readonly abortSignal: AbortSignal };
  assertStrictEquals(abortSignal, signal);
});

Deno.test("a client of the user's is left as it is, ours is lean", async () => {
  const kinesis = new KinesisClient(AWS);
  await connectAws({ kinesis }).kinesis();
  assert(!Object.hasOwn(kinesis, "send"));
  const ours = connectAws({ ...AWS });
  assert(Object.hasOwn(await ours.kinesis(), "send"));
  ours.close();
});

/** What the SDK's signer makes of a request. */
async function signatureOf(request: HttpRequest, client: KinesisClient): Promise<string> {
  const { authorization: _, ...headers } = request.headers;
  const signer = await (client.config.signer as unknown as () => Promise<{
    sign(request: HttpRequest, options: object): Promise<HttpRequest>;
  }>)();
  const again = await signer.sign(new HttpRequest({ ...request, headers }), {
    signingDate: dateOf(request),
  });
  return again.headers["authorization"] ?? "";
}

/** When it was signed, by its own account. */
function dateOf({ headers }: HttpRequest): Date {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(headers["x-amz-date"] ?? "") ?? [];
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
