// The types of jsr:@std/async/retry, over the same code from npm: CONTRIBUTING.md says why.
import * as impl from "npm:deno-std@1.4.0/async/retry.js";

export interface RetryOptions {
  readonly multiplier?: number;
  readonly maxTimeout?: number;
  readonly maxAttempts?: number;
  readonly minTimeout?: number;
  readonly jitter?: number;
  readonly isRetriable?: (error: unknown) => boolean;
  readonly signal?: AbortSignal;
}

export const RetryError: new (cause: unknown, attempts: number) => Error = impl.RetryError as never;

export const retry: <T>(fn: () => Promise<T> | T, options?: RetryOptions) => Promise<T> = impl
  .retry as never;
