import { DynamoDBClient, ListTablesCommand } from "@aws-sdk/client-dynamodb";
import { KinesisClient, ListStreamsCommand } from "@aws-sdk/client-kinesis";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type AwsOptions,
  connectAws,
  describeFailure,
  retryCall,
} from "../../src/adapters/aws_calls.ts";

const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};
const signal = (): AbortSignal => new AbortController().signal;

Deno.test("clients of the user are used as they are and stay open", async () => {
  const kinesis = new KinesisClient(AWS);
  const dynamoDB = new DynamoDBClient(AWS);
  let destroyed = 0;
  for (const client of [kinesis, dynamoDB]) client.destroy = () => destroyed++;
  const clients = connectAws({ kinesis, dynamoDB });
  assertStrictEquals(await clients.kinesis(), kinesis);
  assertStrictEquals(await clients.dynamoDB(), dynamoDB);
  clients.close();
  assertEquals(destroyed, 0);
});

Deno.test("our clients send once, over connections that are kept", async () => {
  await using server = serve(() => Response.json({}, { status: 500 }));
  const clients = connectAws({
    ...AWS,
    kinesisEndpoint: server.url,
    dynamoDBEndpoint: server.url,
  });
  for (let call = 0; call < 3; call++) {
    await assertRejects(async () => (await clients.kinesis()).send(new ListStreamsCommand()));
    await assertRejects(async () => (await clients.dynamoDB()).send(new ListTablesCommand()));
  }
  clients.close();
  assertEquals(server.requests(), 6);
  assertEquals(server.connections(), 2);
});

Deno.test("a client that is asked for after the end keeps no connection", async () => {
  await using server = serve(() => Response.json({}, { status: 500 }));
  const clients = connectAws({ ...AWS, kinesisEndpoint: server.url });
  clients.close();
  const kinesis = await clients.kinesis();
  assertStrictEquals(kinesis, await clients.kinesis(), "it is made once");
  for (let call = 0; call < 3; call++) {
    await assertRejects(() => kinesis.send(new ListStreamsCommand()));
  }
  assertEquals(server.connections(), 3);
});

Deno.test("a client for something else is refused before anything is made", () => {
  assertThrows(() => connectAws({ kinesis: new DynamoDBClient(AWS) }), TypeError, '"kinesis"');
  assertThrows(() => connectAws({ dynamoDB: new KinesisClient(AWS) }), TypeError, '"dynamoDB"');
});

Deno.test("an aborted call leaves nothing behind", async () => {
  await using server = serve((request) =>
    new Promise((resolve) => {
      request.signal.addEventListener("abort", () => resolve(new Response()));
    })
  );
  const clients = connectAws({ ...AWS, kinesisEndpoint: server.url });
  const controller = new AbortController();
  const call = retryCall(
    async () =>
      (await clients.kinesis()).send(new ListStreamsCommand(), { abortSignal: controller.signal }),
    { retries: 3, signal: controller.signal },
  );
  while (server.requests() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  controller.abort(new RangeError("enough"));
  await assertRejects(() => call, RangeError, "enough");
  clients.close();
});

Deno.test("a refused connection is told with its address", async () => {
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dynamoDBEndpoint = `http://127.0.0.1:${closed.addr.port}`;
  closed.close();
  assertEquals(await failureOf("DynamoDB", { dynamoDBEndpoint }), {
    kind: "unavailable",
    maybeApplied: false,
    message:
      `Cannot reach DynamoDB at ${dynamoDBEndpoint}: connection refused; check the endpoint and the network`,
  });
});

Deno.test("an endpoint that the environment names is told as well, since there is where to look", async () => {
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const endpoint = `http://127.0.0.1:${closed.addr.port}`;
  closed.close();
  Deno.env.set("AWS_ENDPOINT_URL_KINESIS", endpoint);
  try {
    const { message } = await failureOf("Kinesis", {});
    assertEquals(
      message,
      `Cannot reach Kinesis at ${endpoint}: connection refused; check the endpoint and the network`,
    );
  } finally {
    Deno.env.delete("AWS_ENDPOINT_URL_KINESIS");
  }
});

Deno.test("an answer that is no answer of AWS is unavailable, and told without its body", async () => {
  await using server = serve(() => new Response("<html>proxy secret</html>", { status: 502 }));
  const failure = await failureOf("Kinesis", { kinesisEndpoint: server.url });
  assertEquals([failure.kind, failure.maybeApplied], ["unavailable", true]);
  assert(!failure.message.includes("secret"), failure.message);
});

Deno.test("a name that cannot be resolved was never reached", async () => {
  const kinesisEndpoint = "http://no-such-host.invalid";
  assertEquals(await failureOf("Kinesis", { kinesisEndpoint }), {
    kind: "unavailable",
    maybeApplied: false,
    message:
      `Cannot reach Kinesis at ${kinesisEndpoint}: its name cannot be resolved; check the endpoint and the network`,
  });
});

Deno.test("a call is made again as often as allowed, if that can help", async () => {
  const outcomes: readonly (readonly [name: string, calls: number])[] = [
    ["ThrottlingException", 2],
    ["InternalServerError", 2],
    ["ValidationException", 1],
    ["AccessDeniedException", 1],
  ];
  for (const [name, expected] of outcomes) {
    const error = serviceError(name);
    let calls = 0;
    const failing = () => {
      calls++;
      return Promise.reject(error);
    };
    const thrown = await assertRejects(() => retryCall(failing, { retries: 1, signal: signal() }));
    assertStrictEquals(thrown, error);
    assertEquals(calls, expected, name);
  }
});

Deno.test("without retries a call is made once", async () => {
  let calls = 0;
  const failing = () => Promise.reject(serviceError(`InternalServerError${calls++}`));
  await assertRejects(() => retryCall(failing, { retries: 0, signal: signal() }));
  assertEquals(calls, 1);
});

Deno.test("throttling is told when the call will be made again", async () => {
  const waits: number[] = [];
  const errors = [serviceError("ThrottlingException"), serviceError("InternalServerError")];
  const call = () => {
    const error = errors.shift();
    return error === undefined ? Promise.resolve("done") : Promise.reject(error);
  };
  const options = { retries: 2, signal: signal(), onThrottled: (ms: number) => waits.push(ms) };
  assertEquals(await retryCall(call, options), "done");
  assertEquals(waits, [200]);
});

Deno.test("throttling that ends the attempts is an error, not told as a wait", async () => {
  const waits: number[] = [];
  const options = { retries: 0, signal: signal(), onThrottled: (ms: number) => waits.push(ms) };
  const failing = () => Promise.reject(serviceError("ThrottlingException"));
  await assertRejects(() => retryCall(failing, options));
  assertEquals(waits, []);
});

Deno.test("an abort ends the wait for the next attempt", async () => {
  const controller = new AbortController();
  const failing = () => {
    setTimeout(() => controller.abort(new RangeError("enough")), 1);
    return Promise.reject(serviceError("ThrottlingException"));
  };
  const call = retryCall(failing, { retries: 100, signal: controller.signal });
  await assertRejects(() => call, RangeError, "enough");
});

/** How a call of a service fails, which our client makes. */
async function failureOf(
  service: "Kinesis" | "DynamoDB",
  endpoints: AwsOptions,
): ReturnType<typeof describeFailure> {
  const clients = connectAws({ ...AWS, ...endpoints });
  const [kinesis, dynamoDB] = [await clients.kinesis(), await clients.dynamoDB()];
  const [client, call] = service === "Kinesis"
    ? [kinesis, kinesis.send(new ListStreamsCommand())]
    : [dynamoDB, dynamoDB.send(new ListTablesCommand())];
  const error = await assertRejects(() => call);
  clients.close();
  return await describeFailure(error, { client, service, task: "t", action: "a" });
}

function serviceError(name: string): Error {
  const httpStatusCode = name.startsWith("Internal") ? 500 : 400;
  return Object.assign(new Error("said AWS"), { name, $metadata: { httpStatusCode } });
}

function serve(handler: (request: Request) => Response | Promise<Response>) {
  let requests = 0;
  const ports = new Set<number>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (
    request,
    { remoteAddr },
  ) => {
    requests++;
    ports.add(remoteAddr.port);
    await request.arrayBuffer();
    return await handler(request);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests: () => requests,
    connections: () => ports.size,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
