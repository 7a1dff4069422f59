// Owns: a subscription as bytes: its events as frames of AWS's event stream, each sent when it is due.
// Must not: know what an event says.
// Called by: kinesis_protocol.ts.
import { EventStreamCodec, type MessageHeaders } from "@smithy/core/event-streams";
import { fromUtf8, toUtf8 } from "@smithy/core/serde";
import { KinesisError } from "./kinesis_error.ts";
import type { Subscription } from "./subscription.ts";

const CODEC = new EventStreamCodec(toUtf8, fromUtf8);

/** The frames of a subscription, until it ends or whoever reads them cancels. */
export function toEventStream(subscription: Subscription): ReadableStream<Uint8Array<ArrayBuffer>> {
  let isCancelled = false;
  return new ReadableStream({
    start(controller) {
      // Protocols without an address for each operation begin with an event of what else the reply would hold.
      controller.enqueue(eventFrame("initial-response", {}));
    },
    async pull(controller) {
      try {
        const event = await nextEvent(subscription);
        if (event !== undefined) {
          return controller.enqueue(eventFrame("SubscribeToShardEvent", event));
        }
      } catch (error) {
        if (!(error instanceof KinesisError)) throw error;
        controller.enqueue(exceptionFrame(error));
      }
      if (!isCancelled) controller.close();
    },
    cancel() {
      isCancelled = true;
      subscription.close();
    },
  });
}

/** Waits for the next event; undefined when there is none any more. */
async function nextEvent(subscription: Subscription): Promise<object | undefined> {
  while (true) {
    const step = subscription.next();
    if (step.kind === "end") return undefined;
    if (step.kind === "event") return step.event;
    const { promise, resolve } = Promise.withResolvers<void>();
    subscription.onChange = resolve;
    const timer = setTimeout(resolve, step.ms);
    await promise;
    clearTimeout(timer);
  }
}

function eventFrame(type: string, content: object): Uint8Array<ArrayBuffer> {
  return frame({ ":message-type": "event", ":event-type": type }, content);
}

function exceptionFrame({ name, message }: KinesisError): Uint8Array<ArrayBuffer> {
  return frame({ ":message-type": "exception", ":exception-type": name }, { message });
}

function frame(
  headers: Readonly<Record<string, string>>,
  content: object,
): Uint8Array<ArrayBuffer> {
  const all = { ...headers, ":content-type": "application/x-amz-json-1.1" };
  return new Uint8Array(CODEC.encode({
    headers: Object.fromEntries(
      Object.entries(all).map(([name, value]) => [name, { type: "string", value }]),
    ) as MessageHeaders,
    body: fromUtf8(JSON.stringify(content)),
  }));
}
