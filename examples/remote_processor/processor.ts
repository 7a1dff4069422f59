// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// A processor that workers load over HTTP, with a module of its own; no build, and no Deno where the executable runs:
//   python3 -m http.server 9000 --bind 127.0.0.1 --directory examples/remote_processor
//   kinesix run --app orders-billing --stream orders --processor http://127.0.0.1:9000/processor.ts \
//     --lock kinesix.lock --lock-write
// The lock file now has the hash of each module: with --frozen instead of --lock-write nothing else is ever run. In production it
// is https:, for example a bucket behind a CDN; plain http: is for this machine only.
import { type RecordProcessor, retryAndSkip } from "@reacto/kinesix";
import { type Order, withTax } from "./tax.ts";

const processor: RecordProcessor = {
  process(record) {
    const { id, total } = withTax(record.json<Order>());
    console.log(`billed ${total.toFixed(2)} for order ${id}`);
  },
  getErrorHandlingMode: () => retryAndSkip(0),
};

export default processor;
