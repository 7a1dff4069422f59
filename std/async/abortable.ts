// The types of jsr:@std/async/abortable (promises only), over the same code from npm.
import * as impl from "npm:deno-std@1.4.0/async/abortable.js";

export const abortable: <T>(promise: Promise<T>, signal: AbortSignal) => Promise<T> = impl
  .abortable as never;
