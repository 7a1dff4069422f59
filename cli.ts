import { leave } from "./src/cli/leave.ts";
import { main } from "./src/cli/main.ts";

leave(await main(Deno.args));
