// Owns: keeping a child process's servers off the network, whatever address it asks for.
// Must not: be imported; `deno run --preload` runs it before the program.
// Called by: kinesis_backends.ts.
import { type ListenOptions, Server } from "node:net";

const { listen } = Server.prototype;

Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
  const [first] = args;
  const options = typeof first === "object" && first !== null
    ? first as ListenOptions
    : { port: Number(first) };
  const callback = args.find((arg) => typeof arg === "function") as (() => void) | undefined;
  return listen.call(this, { ...options, host: "127.0.0.1" }, callback);
} as typeof listen;
