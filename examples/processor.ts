// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// A processor module for the command line:
//   kinesix run --app orders-billing --stream orders --processor ./examples/processor.ts
import { type RecordProcessor, retryAndSkip, retryAndStop } from "@reacto/kinesix";

const processor: RecordProcessor = {
  async process(record, context) {
    const order = record.json<{ id: string; total: number }>();
    // The term lets a sink refuse a worker that does not know yet that it lost the shard.
    await bill(order, { fencingToken: context.term, signal: context.signal });
  },
  // What cannot be read never will be: put it aside. Everything else is worth stopping for.
  getErrorHandlingMode: (_record, error) =>
    error instanceof SyntaxError ? retryAndSkip(0) : retryAndStop(5),
  onMaxRetryExceeded(record, _mode, error) {
    console.error(`put aside ${record.sequenceNumber} of ${record.shardId}:`, error);
  },
};

export default processor;

function bill(
  order: { id: string; total: number },
  _options: { fencingToken: number; signal: AbortSignal },
): Promise<void> {
  console.log(`billed ${order.total} for order ${order.id}`);
  return Promise.resolve();
}
