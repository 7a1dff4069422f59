/**
 * Owns: reading the events of SubscribeToShard for less than the SDK takes: their records as those of GetRecords, all else by the
 * SDK.
 * Must not: give anything that the SDK would not give for the same event.
 * Called by: `aws_calls.ts`, for the client that is made there.
 *
 * @module
 */

import { EventStreamMarshaller } from "@smithy/core/event-streams";
import { Base64Decoder, takeRecords } from "./fast_get_records.ts";

/** What the SDK has its event streams read by; the frames are still its own affair. */
export class FastEventMarshaller extends EventStreamMarshaller {
  readonly #decoder = new Base64Decoder();

  /** The events of a body. */
  override deserialize<T>(
    ...[body, readBySdk]: Parameters<typeof EventStreamMarshaller.prototype.deserialize<T>>
  ): AsyncIterable<T> {
    return super.deserialize<T>(body, async (messages) => {
      const message = messages["SubscribeToShardEvent"];
      if (message === undefined) return await readBySdk(messages);
      const taken = takeRecords(new TextDecoder().decode(message.body), this.#decoder);
      if (taken === undefined) return await readBySdk(messages);
      const body = new TextEncoder().encode(JSON.stringify(taken.rest));
      const output = await readBySdk({ SubscribeToShardEvent: { ...message, body } });
      Object.assign(eventOf(output), { Records: taken.records });
      return output;
    });
  }
}

/** What the SDK made of an event; its type is that of whatever reads it. */
function eventOf(output: unknown): object {
  const { SubscribeToShardEvent: event } = output as { readonly SubscribeToShardEvent: object };
  return event;
}
