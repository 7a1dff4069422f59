// Records that are given up go into an SQS queue, whole, in the format of `formatFailure`:
//   deno run -A examples/sqs_failure.ts orders https://sqs.us-east-1.amazonaws.com/123456789012/orders-failed
import { type FailureFunction, formatFailure, ReactoKinesixApp } from "@reacto/kinesix";
import { SendMessageCommand, SQSClient } from "npm:@aws-sdk/client-sqs@^3.1143.0";
import processor from "./processor.ts";

/** What a queue takes that was not told otherwise; one with a larger `MaximumMessageSize` takes up to 1 MiB. */
const MESSAGE_BYTES_MAX = 262_144;

/** How a queue is used. */
export interface QueueOptions {
  readonly client: SQSClient;
  readonly queueUrl: string;
  /** The `MaximumMessageSize` of the queue, in bytes. */
  readonly messageBytesMax?: number;
  /** Where a record goes whose message would be larger: S3, say. Without it such a record waits, and its shard with it. */
  readonly tooLarge?: FailureFunction;
}

/** An `onFailure` that sends each record to a queue. */
export function sqsFailures(options: QueueOptions): FailureFunction {
  const { client, queueUrl: QueueUrl, messageBytesMax = MESSAGE_BYTES_MAX, tooLarge } = options;
  return async (failure, signal) => {
    const MessageBody = formatFailure(failure);
    const MessageAttributes = {
      app: { DataType: "String", StringValue: failure.appName },
      stream: { DataType: "String", StringValue: failure.streamName },
    };
    const bytes = MessageBody.length + JSON.stringify(MessageAttributes).length;
    if (bytes <= messageBytesMax) {
      const command = new SendMessageCommand({ QueueUrl, MessageBody, MessageAttributes });
      await client.send(command, { abortSignal: signal });
    } else if (tooLarge !== undefined) {
      await tooLarge(failure, signal);
    } else {
      throw new RangeError(
        `Cannot send record ${failure.sequenceNumber} to SQS: its message has ${bytes} bytes, the ` +
          `queue takes ${messageBytesMax}; raise its MaximumMessageSize, or give it a tooLarge`,
      );
    }
  };
}

if (import.meta.main) {
  const [streamName = "orders", queueUrl = ""] = Deno.args;
  await using app = await ReactoKinesixApp.createNew({
    appName: "Billing",
    streamName,
    processor,
    onFailure: sqsFailures({ client: new SQSClient(), queueUrl }),
  });
  Deno.addSignalListener("SIGINT", () => void app.stop());
  await app.finished;
}
