/**
 * Owns: what was thrown in one thread, as the other one gets it: bounded in size, whatever it was.
 * Must not: call code of the user's more than it takes to read an error.
 * Called by: both sides of `sandbox/`.
 *
 * @module
 */

import { toEventError } from "../errors.ts";

/** An error as a message between threads. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: PackedError;
  /** There is one if no `Error` was thrown: that value if it is a simple one, else its text. */
  readonly plain?: unknown;
  /** The number under which the thread keeps the very thing that was thrown, for a while. */
  readonly kept?: number;
}

const MESSAGE_LENGTH_MAX = 8_192;
const STACK_LENGTH_MAX = 16_384;
const CAUSES_MAX = 4;

/** What a name of an error stands for in any thread. */
const BUILT_IN: Readonly<Record<string, ErrorConstructor>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** Packs whatever was thrown. */
export function packError(error: unknown, causes: number = CAUSES_MAX): PackedError {
  const { name, message } = toEventError(error);
  if (!isError(error)) return { name, message: "", plain: plainly(error, message) };
  const stack = read(error, "stack");
  const cause = causes > 0 ? read(error, "cause") : undefined;
  return {
    name: shorten(name, MESSAGE_LENGTH_MAX),
    message: shorten(message, MESSAGE_LENGTH_MAX),
    ...typeof stack === "string" && { stack: shorten(stack, STACK_LENGTH_MAX) },
    ...cause !== undefined && { cause: packError(cause, causes - 1) },
  };
}

/** The error again, with the name, message, stack and cause that it had. What was no error is its text. */
export function unpackError(packed: PackedError): unknown {
  const { name, message, stack, cause } = packed;
  if ("plain" in packed) return packed.plain;
  const options = cause === undefined ? {} : { cause: unpackError(cause) };
  const error = new (BUILT_IN[name] ?? Error)(message, options);
  const hide = { enumerable: false, configurable: true, writable: true };
  if (error.name !== name) Object.defineProperty(error, "name", { ...hide, value: name });
  Object.defineProperty(error, "stack", { ...hide, value: stack ?? `${name}: ${message}` });
  return error;
}

function plainly(value: unknown, text: string): unknown {
  const isSimple = value === null || !/^(object|function|symbol|string)$/.test(typeof value);
  return isSimple ? value : shorten(text, MESSAGE_LENGTH_MAX);
}

function isError(value: unknown): boolean {
  try {
    return value instanceof Error;
  } catch {
    return false; // A proxy may throw at that question.
  }
}

function read(error: unknown, member: "stack" | "cause"): unknown {
  try {
    return error instanceof Error ? error[member] : undefined;
  } catch {
    return undefined; // A getter or a proxy of the user's may throw; then there is nothing to tell.
  }
}

function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}...`;
}
