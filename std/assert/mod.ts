// The types of the jsr:@std/assert functions that the tests use, over the same code from npm.
import * as impl from "npm:deno-std@1.4.0/assert/mod.js";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

export const assert: (expr: unknown, msg?: string) => asserts expr = impl.assert as never;
export const assertEquals: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertEquals as never;
export const assertNotEquals: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertNotEquals as never;
export const assertStrictEquals: <T>(
  actual: unknown,
  expected: T,
  msg?: string,
) => asserts actual is T = impl.assertStrictEquals as never;
export const assertExists: <T>(actual: T, msg?: string) => asserts actual is NonNullable<T> = impl
  .assertExists as never;
export const assertMatch: (actual: string, expected: RegExp, msg?: string) => void = impl
  .assertMatch as never;
export const assertStringIncludes: (actual: string, expected: string, msg?: string) => void = impl
  .assertStringIncludes as never;
export const assertGreater: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertGreater as never;
export const assertGreaterOrEqual: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertGreaterOrEqual as never;
export const assertLess: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertLess as never;
export const assertLessOrEqual: <T>(actual: T, expected: T, msg?: string) => void = impl
  .assertLessOrEqual as never;
export const assertObjectMatch: (actual: object, expected: object, msg?: string) => void = impl
  .assertObjectMatch as never;
export const assertInstanceOf: <T extends Error>(
  actual: unknown,
  expected: ErrorClass<T>,
  msg?: string,
) => asserts actual is T = impl.assertInstanceOf as never;
export const assertThrows: <E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
) => E = impl.assertThrows as never;
export const assertRejects: <E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  includes?: string,
) => Promise<E> = impl.assertRejects as never;
export const fail: (msg?: string) => never = impl.fail as never;
