// The types of jsr:@std/async/delay, over the same code from npm.
import * as impl from "npm:deno-std@1.4.0/async/delay.js";

export interface DelayOptions {
  readonly signal?: AbortSignal;
  readonly persistent?: boolean;
}

export const delay: (ms: number, options?: DelayOptions) => Promise<void> = impl.delay as never;
