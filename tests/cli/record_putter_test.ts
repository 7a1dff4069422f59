import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { KinesisClient, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { RecordPutter } from "../../src/cli/record_putter.ts";

type Sent = readonly { readonly key: string; readonly text: string }[];

/** A stream that refuses the records that it is told to. */
function fakeStream(refuses: (text: string, request: number) => boolean) {
  const requests: Sent[] = [];
  const stored: string[] = [];
  const send = ({ input }: PutRecordsCommand) => {
    const records = (input.Records ?? []).map((entry) => ({
      key: entry.PartitionKey ?? "",
      text: new TextDecoder().decode(entry.Data),
    }));
    requests.push(records);
    return Promise.resolve({
      Records: records.map(({ text }) => {
        if (refuses(text, requests.length)) {
          return { ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow" };
        }
        stored.push(text);
        return { SequenceNumber: "1" };
      }),
    });
  };
  return { requests, stored, kinesis: { send } as unknown as KinesisClient };
}

async function putAll(
  kinesis: KinesisClient,
  records: readonly (readonly [key: string, text: string])[],
): Promise<RecordPutter> {
  const putter = new RecordPutter({ kinesis, streamName: "S" });
  for (const [partitionKey, text] of records) {
    await putter.add({ partitionKey, data: new TextEncoder().encode(text) });
  }
  await putter.flush();
  return putter;
}

Deno.test("records of different keys go 500 at a time", async () => {
  const { requests, kinesis } = fakeStream(() => false);
  const records = Array.from({ length: 1_200 }, (_, index) => [`k${index}`, `${index}`] as const);
  assertEquals((await putAll(kinesis, records)).records, 1_200);
  assertEquals(requests.map((sent) => sent.length), [500, 500, 200]);
});

Deno.test("a request holds at most 5 MiB", async () => {
  const { requests, kinesis } = fakeStream(() => false);
  const text = "x".repeat(1_000_000);
  await putAll(kinesis, Array.from({ length: 12 }, (_, index) => [`k${index}`, text] as const));
  assertEquals(requests.map((sent) => sent.length), [5, 5, 2]);
});

Deno.test("refused records are sent again until they are in, without the others", async () => {
  const { requests, stored, kinesis } = fakeStream((text, request) => text === "b" && request < 3);
  const putter = await putAll(kinesis, [["1", "a"], ["2", "b"], ["3", "c"]]);
  assertEquals(requests.map((sent) => sent.map((record) => record.text)), [
    ["a", "b", "c"],
    ["b"],
    ["b"],
  ]);
  assertEquals([stored.join(""), putter.records], ["acb", 3]);
});

Deno.test("records of one key keep their order although some are refused", async () => {
  let calls = 0;
  const { stored, kinesis } = fakeStream(() => ++calls % 3 === 0);
  const texts = Array.from({ length: 12 }, (_, index) => String(index).padStart(2, "0"));
  await putAll(kinesis, texts.map((text) => [Number(text) % 2 ? "odd" : "even", text] as const));
  for (const rest of [0, 1]) {
    const own = stored.filter((text) => Number(text) % 2 === rest);
    assertEquals(own, own.toSorted());
  }
  assertEquals(stored.length, 12);
});

Deno.test("a record that no stream takes is refused by its number", async () => {
  const { kinesis } = fakeStream(() => false);
  const error = await assertRejects(
    () => putAll(kinesis, [["k", "a"], ["k", "x".repeat(10 * 1024 * 1024)]]),
    RangeError,
  );
  assertStringIncludes(error.message, "Cannot put record 2: it has 10485761 bytes");
});

Deno.test("an error that will not go away ends it at once", async () => {
  let calls = 0;
  const send = () => {
    calls++;
    return Promise.reject(
      Object.assign(new Error("no such stream"), {
        name: "ResourceNotFoundException",
        $metadata: { httpStatusCode: 400 },
      }),
    );
  };
  const config = { region: () => Promise.resolve("us-east-1") };
  const error = await assertRejects(() =>
    putAll({ send, config } as unknown as KinesisClient, [["k", "a"]])
  );
  assertStringIncludes(error.message, 'Cannot put records into stream "S"');
  assert(calls === 1);
});
