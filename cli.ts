/**
 * The command `kinesix`: workers without a program of one's own, and what steers and looks at a cluster of them.
 *
 * ```sh
 * deno install --global --allow-net --allow-env --allow-read --allow-write --allow-sys --name kinesix jsr:@reacto/kinesix/cli
 * kinesix run --app orders-billing --stream orders --processor ./processor.ts
 * kinesix help
 * ```
 *
 * @module
 */

import { leave } from "./src/cli/leave.ts";
import { main } from "./src/cli/main.ts";

leave(await main(Deno.args));
