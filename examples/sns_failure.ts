// Records that are given up are published to an SNS topic, whole, in the format of `formatFailure`:
//   deno run -A examples/sns_failure.ts orders arn:aws:sns:us-east-1:123456789012:orders-failed
// SNS keeps nothing: the topic needs a subscription that does, such as a queue.
import { type FailureFunction, formatFailure, ReactoKinesixApp } from "@reacto/kinesix";
import { PublishCommand, SNSClient } from "npm:@aws-sdk/client-sns@^3.1143.0";
import processor from "./processor.ts";

/** https://docs.aws.amazon.com/sns/latest/api/API_Publish.html */
const MESSAGE_BYTES_MAX = 262_144;

/** How a topic is used. */
export interface TopicOptions {
  readonly client: SNSClient;
  readonly topicArn: string;
  /** Where a record goes whose message would be larger: S3, say. Without it such a record waits, and its shard with it. */
  readonly tooLarge?: FailureFunction;
}

/** An `onFailure` that publishes each record; subscriptions may filter by the attributes `app` and `stream`. */
export function snsFailures({ client, topicArn, tooLarge }: TopicOptions): FailureFunction {
  return async (failure, signal) => {
    const Message = formatFailure(failure);
    const MessageAttributes = {
      app: { DataType: "String", StringValue: failure.appName },
      stream: { DataType: "String", StringValue: failure.streamName },
    };
    const bytes = Message.length + JSON.stringify(MessageAttributes).length;
    if (bytes <= MESSAGE_BYTES_MAX) {
      const command = new PublishCommand({ TopicArn: topicArn, Message, MessageAttributes });
      await client.send(command, { abortSignal: signal });
    } else if (tooLarge !== undefined) {
      await tooLarge(failure, signal);
    } else {
      throw new RangeError(
        `Cannot publish record ${failure.sequenceNumber} to SNS: its message has ${bytes} bytes, a ` +
          `topic takes ${MESSAGE_BYTES_MAX}; give it a tooLarge`,
      );
    }
  };
}

if (import.meta.main) {
  const [streamName = "orders", topicArn = ""] = Deno.args;
  await using app = await ReactoKinesixApp.createNew({
    appName: "Billing",
    streamName,
    processor,
    onFailure: snsFailures({ client: new SNSClient(), topicArn }),
  });
  Deno.addSignalListener("SIGINT", () => void app.stop());
  await app.finished;
}
