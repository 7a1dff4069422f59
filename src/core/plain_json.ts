/**
 * Owns: JSON that says all that a value holds.
 * Must not: know what the value is for.
 * Called by: `windows/tumbling_windows.ts`.
 *
 * @module
 */

/**
 * The JSON of a value.
 *
 * @throws {TypeError} If something in it would not come back as it is, such as a Map, a Date or NaN; it says where.
 */
export function plainJson(value: unknown): string {
  const parents = new Map<unknown, string>();
  const text = JSON.stringify(value, function (this: unknown, key: string, written: unknown) {
    // What `toJSON` made of it is given here, the value itself is only in its parent.
    const given = (this as Record<string, unknown>)[key];
    const path = key === "" && !parents.has(this) ? "" : `${parents.get(this) ?? ""}.${key}`;
    const reason = lossOf(given, Array.isArray(this));
    if (reason !== undefined) {
      throw new TypeError(`${path === "" ? "it" : `"${path.slice(1)}"`} is ${reason}`);
    }
    if (typeof given === "object" && given !== null) parents.set(given, path);
    return written;
  });
  if (text === undefined) throw new TypeError("it is undefined");
  return text;
}

/** What would be lost, in words; undefined if nothing. */
function lossOf(value: unknown, isElement: boolean): string | undefined {
  switch (typeof value) {
    case "undefined":
      // A member that is undefined is one that is not there.
      return isElement ? "undefined" : undefined;
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : String(value);
    case "object":
      if (value === null || Array.isArray(value)) return undefined;
      return isPlain(value) ? undefined : `a ${value.constructor?.name ?? "class"}`;
    default:
      return `a ${typeof value}`;
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return (prototype === null || Object.getPrototypeOf(prototype) === null) &&
    !("toJSON" in value);
}
