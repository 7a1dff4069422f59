// A proxy in the environment is for what is elsewhere: what is on this machine is asked directly.
import { assertEquals } from "@std/assert";
import { directConnection } from "../../src/adapters/direct_connection.ts";
import { CliProcess, sourceProgram } from "./cli_testing.ts";
import { startStack } from "./worker_testing.ts";

Deno.test("a local Kinesis is reached with a proxy in the environment, which sees nothing of it", async () => {
  await using stack = await startStack(1);
  let asked = 0;
  await using proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    asked += 1;
    return new Response("no", { status: 502 });
  });
  await using put = new CliProcess(
    ["put", "--stream=S", `--kinesis-endpoint=${stack.kinesisEndpoint}`, "--json"],
    {
      stdin: "a line\n",
      env: { HTTP_PROXY: `http://127.0.0.1:${proxy.addr.port}`, NO_PROXY: "", no_proxy: "" },
    },
  );
  assertEquals(await put.ended(), 0, put.stderr.join("\n"));
  assertEquals([JSON.parse(put.stdout.join("")).records, asked], [1, 0]);
});

Deno.test("what is elsewhere is asked through the proxy, Kinesis and DynamoDB", async () => {
  const asked = new Set<string>();
  await using proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (call) => {
    const { host } = new URL(call.url);
    asked.add(host);
    return new Response("no", { status: 502 });
  });
  await using doctor = new CliProcess(
    [
      ...["doctor", "--app=A", "--stream=S", "--json"],
      ...["--kinesis-endpoint=http://kinesis.invalid", "--dynamodb-endpoint=http://dynamo.invalid"],
    ],
    {
      program: sourceProgram(["--allow-all"]),
      env: {
        ...{ AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" },
        ...{ HTTP_PROXY: `http://127.0.0.1:${proxy.addr.port}`, NO_PROXY: "", no_proxy: "" },
      },
    },
  );
  await doctor.ended();
  assertEquals([...asked].sort(), ["dynamo.invalid", "kinesis.invalid"]);
});

Deno.test("only what is on this machine and not encrypted is asked directly", () => {
  const isDirect = (url: string) => directConnection(new URL(url)) !== undefined;
  for (const host of ["localhost:4567", "a.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:80"]) {
    assertEquals([isDirect(`http://${host}`), isDirect(`https://${host}`)], [true, false], host);
  }
  for (
    const host of ["example.com", "localhost.example.com", "128.0.0.1", "127.0.0.1.example.com"]
  ) {
    assertEquals(isDirect(`http://${host}`), false, host);
  }
});
