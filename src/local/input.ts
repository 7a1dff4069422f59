// Owns: reading the fields of a request, refusing wrong ones in the words of AWS.
// Must not: know what an operation does with the values.
// Called by: the files with operations in their name.
import { KinesisError } from "./kinesis_error.ts";

/** The JSON object of a request. */
export type Input = Readonly<Record<string, unknown>>;

interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

const NAME_PATTERN = /^[a-zA-Z0-9_.-]{1,128}$/;

export function optionalText(input: Input, field: string): string | undefined {
  const value = input[field] ?? undefined;
  if (value === undefined || typeof value === "string") return value;
  throw wrongType(field, "String");
}

export function text(input: Input, field: string): string {
  const value = optionalText(input, field);
  if (value === undefined) throw missing(field);
  return value;
}

/** A stream or shard name: 1 to 128 letters, digits, underscores, dots and hyphens. */
export function name(input: Input, field: string): string {
  const value = text(input, field);
  if (NAME_PATTERN.test(value)) return value;
  throw unsatisfied(
    value,
    field,
    "satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have length between 1 and 128",
  );
}

export function integer(input: Input, field: string, range: IntegerRange): number {
  const value = input[field] ?? undefined;
  if (value === undefined) throw missing(field);
  if (typeof value !== "number" || !Number.isInteger(value)) throw wrongType(field, "Integer");
  if (value > range.max) {
    throw unsatisfied(value, field, `have value less than or equal to ${range.max}`);
  }
  if (value < range.min) {
    throw unsatisfied(value, field, `have value greater than or equal to ${range.min}`);
  }
  return value;
}

export function optionalInteger(
  input: Input,
  field: string,
  range: IntegerRange,
): number | undefined {
  return (input[field] ?? undefined) === undefined ? undefined : integer(input, field, range);
}

/** A point in time: epoch seconds on the wire, epoch milliseconds here. */
export function optionalTimestampMs(input: Input, field: string): number | undefined {
  const value = input[field] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== "number") throw wrongType(field, "Timestamp");
  return Math.round(value * 1000);
}

/** A whole number of up to 128 bits (a hash key), written in decimal digits. */
export function optionalHashKey(input: Input, field: string): bigint | undefined {
  const value = optionalText(input, field);
  if (value === undefined) return undefined;
  if (!/^(0|[1-9]\d{0,38})$/.test(value)) {
    throw unsatisfied(value, field, "satisfy regular expression pattern: 0|([1-9]\\d{0,38})");
  }
  return BigInt(value);
}

export function optionalObject(input: Input, field: string): Input | undefined {
  const value = input[field] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) throw wrongType(field, "Structure");
  return value as Input;
}

export function list(input: Input, field: string, lengthMax: number): readonly unknown[] {
  const value = input[field] ?? undefined;
  if (value === undefined) throw missing(field);
  if (!Array.isArray(value)) throw wrongType(field, "List");
  if (value.length < 1) throw unsatisfied(`[]`, field, "have length greater than or equal to 1");
  if (value.length > lengthMax) {
    throw unsatisfied("[...]", field, `have length less than or equal to ${lengthMax}`);
  }
  return value;
}

export function isObject(value: unknown): value is Input {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error for a value that breaks a constraint which AWS checks before it looks at any stream. */
export function unsatisfied(
  value: string | number,
  field: string,
  constraint: string,
): KinesisError {
  return validation(
    `Value '${value}' at '${
      camelCase(field)
    }' failed to satisfy constraint: Member must ${constraint}`,
  );
}

function missing(field: string): KinesisError {
  return validation(
    `Value null at '${camelCase(field)}' failed to satisfy constraint: Member must not be null`,
  );
}

function validation(problem: string): KinesisError {
  return new KinesisError("ValidationException", `1 validation error detected: ${problem}`);
}

function wrongType(field: string, type: string): KinesisError {
  return new KinesisError("SerializationException", `${field} can not be converted to ${type}`);
}

function camelCase(field: string): string {
  return field.charAt(0).toLowerCase() + field.slice(1);
}
