/**
 * Enhanced fan-out from the command line, as processes of their own, on a local stack.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CliProcess } from "./cli_testing.ts";
import { startStack } from "./worker_testing.ts";

const PROCESSOR = `data:text/javascript,${
  encodeURIComponent("export default { process: (record) => console.log(record.text()) };")
}`;

async function run(
  args: readonly string[],
  stdin?: string,
): Promise<{ code: number; out: string; err: string }> {
  await using process = new CliProcess(args, { ...stdin !== undefined && { stdin } });
  const code = await process.ended();
  return { code, out: process.stdout.join("\n"), err: process.stderr.join("\n") };
}

Deno.test("run --retrieval fan-out processes what comes, and leaves its consumer to the other workers", async () => {
  await using stack = await startStack(2);
  const kinesis = `--kinesis-endpoint=${stack.kinesisEndpoint}`;
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i}`);
  const put = ["put", "--stream=S", kinesis];
  assertEquals((await run(put, lines.slice(0, 50).join("\n"))).code, 0);
  await using worker = new CliProcess([
    ...["run", "--app=A", "--stream=S", `--processor=${PROCESSOR}`, "--retrieval=fan-out"],
    ...[kinesis, `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`],
  ]);
  const printed = (count: number) => worker.until((out) => out.length >= count);
  await printed(50);
  assertEquals((await run(put, lines.slice(50).join("\n"))).code, 0);
  await printed(100);
  assertEquals(worker.stdout.toSorted(), lines.toSorted());

  const listed = await run(["consumer", "list", "--stream=S", kinesis, "--json"]);
  const { consumers } = JSON.parse(listed.out);
  assertEquals(consumers.map(({ name, status }: Record<string, string>) => [name, status]), [
    ["A", "ACTIVE"],
  ]);
  worker.kill("SIGTERM");
  assertEquals(await worker.ended(), 0, worker.stderr.join("\n"));
  const after = await run(["consumer", "list", "--stream=S", kinesis]);
  assertStringIncludes(after.out, "1 consumer of stream S");
  assertStringIncludes(after.out, "stream/S/consumer/A:");
});

Deno.test("consumer deregister takes a consumer off, and says when there is none", async () => {
  await using stack = await startStack(1);
  const where = ["--stream=S", `--endpoint-url=${stack.kinesisEndpoint}`];
  const missing = await run(["consumer", "deregister", "A", ...where]);
  assertEquals(missing.code, 1);
  assertStringIncludes(
    missing.err,
    'error: Cannot deregister consumer "A": stream "S" has none of that name; it has no consumers',
  );
  const body = JSON.stringify({
    StreamARN: "arn:aws:kinesis:us-east-1:000000000000:stream/S",
    ConsumerName: "A",
  });
  const reply = await fetch(stack.kinesisEndpoint, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "Kinesis_20131202.RegisterStreamConsumer",
    },
    body,
  });
  await reply.text();
  assert(reply.ok);
  const { code, out } = await run(["consumer", "deregister", "A", ...where]);
  assertEquals([code, out], [0, "deregistered consumer A of stream S"]);
  const listed = await run(["consumer", "list", ...where]);
  assertEquals([listed.code, listed.out], [0, "0 consumers of stream S"]);
});

Deno.test("consumer deregister without a name is a wrong call, which says what is missing", async () => {
  const { code, err } = await run(["consumer", "deregister", "--stream=S"]);
  assertEquals(code, 2);
  assertStringIncludes(err, "NAME");
});
