/**
 * Owns: what was thrown in one thread, as the other one gets it: bounded in size, whatever it was.
 * Must not: call code of the user's more than it takes to read an error.
 * Called by: both sides of `sandbox/`.
 *
 * @module
 */

import { toEventError } from "../errors.ts";

/** What was thrown, as a message between threads. */
export type PackedError =
  & (
    | {
      readonly name: string;
      readonly message: string;
      readonly stack?: string;
      readonly cause?: PackedError;
    }
    /** A value that is simple enough to be sent. */
    | { readonly value: unknown }
  )
  & {
    /** The number under which the thread keeps the very thing that was thrown, for a while. */
    readonly kept?: number;
  };

const MESSAGE_LENGTH_MAX = 8_192;
const STACK_LENGTH_MAX = 16_384;
const CAUSES_MAX = 4;
/** In characters, of all errors of one message: beyond that the rest are cut short, since a batch may have 10,000 of them. */
const TOGETHER_LENGTH_MAX = 1_000_000;
const BRIEF_LENGTH_MAX = 100;

/** What a name of an error stands for in any thread. */
const BUILT_IN: ReadonlyMap<string, ErrorConstructor> = new Map(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]
    .map((type) => [type.name, type]),
);

/** Packs whatever was thrown. */
export function packError(error: unknown, causes: number = CAUSES_MAX): PackedError {
  if (typeof error === "string") return { value: shorten(error, MESSAGE_LENGTH_MAX) };
  if (error === null || !/^(object|function|symbol)$/.test(typeof error)) return { value: error };
  const { name, message } = toEventError(error);
  const stack = read(error, "stack");
  const cause = causes > 0 ? read(error, "cause") : undefined;
  return {
    name: shorten(name, MESSAGE_LENGTH_MAX),
    message: shorten(message, MESSAGE_LENGTH_MAX),
    ...typeof stack === "string" && { stack: shorten(stack, STACK_LENGTH_MAX) },
    ...cause !== undefined && { cause: packError(cause, causes - 1) },
  };
}

/** Packs what the records of a batch failed with: whole as long as there is room in one message, then the first words of each. */
export function packErrors(errors: readonly unknown[]): readonly PackedError[] {
  let length = 0;
  return errors.map((error) => {
    const packed = length < TOGETHER_LENGTH_MAX ? packError(error) : briefly(error);
    length += lengthOf(packed);
    return packed;
  });
}

function briefly(error: unknown): PackedError {
  const packed = packError(error, 0);
  const cut = (text: string): string => shorten(text, BRIEF_LENGTH_MAX);
  if (!("value" in packed)) return { name: cut(packed.name), message: cut(packed.message) };
  return { value: typeof packed.value === "string" ? cut(packed.value) : packed.value };
}

function lengthOf(packed: PackedError): number {
  if ("value" in packed) return String(packed.value).length;
  const { name, message, stack = "", cause } = packed;
  return name.length + message.length + stack.length + (cause === undefined ? 0 : lengthOf(cause));
}

/** The simple value again, or an error with the name, message, stack and cause of what was thrown. */
export function unpackError(packed: PackedError): unknown {
  if ("value" in packed) return packed.value;
  const { name, message, stack, cause } = packed;
  const options = cause === undefined ? {} : { cause: unpackError(cause) };
  const error = new (BUILT_IN.get(name) ?? Error)(message, options);
  const hide = { enumerable: false, configurable: true, writable: true };
  if (error.name !== name) Object.defineProperty(error, "name", { ...hide, value: name });
  Object.defineProperty(error, "stack", { ...hide, value: stack ?? `${name}: ${message}` });
  return error;
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
