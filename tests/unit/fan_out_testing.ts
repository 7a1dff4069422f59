// Owns: a source by enhanced fan-out on a stream of one shard, and what becomes of its subscriptions.
// Must not: assert anything.
// Called by: the fan_out_*_test.ts files.
import { abortable } from "@std/async/abortable";
import { SILENCE_MAX_MS } from "../../src/adapters/event_subscription.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";
import type { KinesisEngineOptions } from "../../src/local/kinesis_engine.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { Subscription } from "../../src/local/subscription.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { SourceTest, STREAM } from "./source_testing.ts";

export const CONSUMER = "billing";

/** While an event is waited for, the time of silence passes only when the test says so. */
class SilenceClock extends LeapingClock {
  isSilent = false;

  override sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms !== SILENCE_MAX_MS || this.isSilent) return super.sleep(ms, signal);
    return abortable(new Promise<never>(() => {}), signal);
  }
}

/** A consumer, as Kinesis lists it. */
interface Consumer {
  readonly ConsumerName: string;
  readonly ConsumerARN: string;
}

/** A source, with the subscriptions that were accepted, in that order, and the consumers that there are. */
export type FanOutTest = SourceTest<KinesisFanOutSource, SilenceClock> & {
  readonly subscriptions: readonly Subscription[];
  readonly consumers: () => readonly Consumer[];
};

/** A source on a stream of one shard. */
export async function setUp(
  config: ReactoKinesixConfig = {},
  options: Omit<KinesisEngineOptions, "now"> = {},
): Promise<FanOutTest> {
  const test = await SourceTest.start(
    new SilenceClock(),
    (deps) =>
      new KinesisFanOutSource({
        ...deps,
        eventStreams: deps.client,
        consumerName: CONSUMER,
        config: resolveConfig(config),
      }),
    options,
  );
  const subscriptions: Subscription[] = [];
  test.answers("SubscribeToShard", (proceed) => {
    const output = proceed();
    if (output instanceof Subscription) subscriptions.push(output);
    return output;
  });
  const consumers = (): readonly Consumer[] => {
    const StreamARN = `arn:aws:kinesis:us-east-1:000000000000:stream/${STREAM}`;
    const output = test.engine.call("ListStreamConsumers", { StreamARN });
    return (output as { readonly Consumers: readonly Consumer[] }).Consumers;
  };
  return Object.assign(test, { subscriptions, consumers });
}

/** An error that ends a subscription from within. */
export function inStream(name: string): KinesisError {
  return new KinesisError(name, "said Kinesis", 500);
}
