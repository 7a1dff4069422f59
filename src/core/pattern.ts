/**
 * Owns: event patterns, in the language of Amazon EventBridge and of the filters of AWS Lambda: what they say of a JSON value.
 * Must not: know what the value is.
 * Called by: `cli/pattern_filter.ts`.
 *
 * A pattern has the structure of what it matches. Each field has a list of what its value may be; all fields must match.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 *
 * @module
 */

/** Whether a value, as `JSON.parse` gives it, matches. */
export type Matcher = (value: unknown) => boolean;

/** Whether the values of a field match: none if it is not there; those of a list, if it has one. */
type LeafMatcher = (leaves: readonly unknown[]) => boolean;

type Members = Readonly<Record<string, unknown>>;

/** Deeper than any record that anybody could read; a pattern has no more cost than its text. */
const DEPTH_MAX = 50;

/**
 * Makes a pattern, as `JSON.parse` gives it, a function.
 *
 * @throws {SyntaxError} If it is no pattern; it names the place.
 */
export function compilePattern(pattern: unknown, path = "the pattern", depth = 0): Matcher {
  if (!isMembers(pattern)) throw wrong(path, `it must be an object`);
  const fields = Object.entries(pattern);
  if (fields.length === 0) throw wrong(path, `it is empty, and would match everything`);
  if (depth > DEPTH_MAX) throw wrong(path, `it is nested more than ${DEPTH_MAX} times`);
  const matchers = fields.map(([name, what]) =>
    name === "$or" && Array.isArray(what)
      ? compileOr(what, `${path}.$or`, depth + 1)
      : compileField(name, what, { path: `${path}.${name}`, depth: depth + 1 })
  );
  // Of a list, one member has to match as a whole.
  const matches = (value: unknown): boolean =>
    Array.isArray(value)
      ? value.some(matches)
      : matchers.every((matcher) => matcher(isMembers(value) ? value : {}));
  return matches;
}

function compileOr(alternatives: readonly unknown[], path: string, depth: number): Matcher {
  if (alternatives.length < 2) throw wrong(path, "it must have two alternatives or more");
  const matchers = alternatives.map((one, i) => compilePattern(one, `${path}[${i}]`, depth));
  return (value) => matchers.some((matches) => matches(value));
}

function compileField(
  name: string,
  what: unknown,
  { path, depth }: { readonly path: string; readonly depth: number },
): (value: Members) => boolean {
  const valueOf = (value: Members): unknown => Object.hasOwn(value, name) ? value[name] : undefined;
  if (!Array.isArray(what)) {
    if (!isMembers(what)) {
      throw wrong(path, `it must be a list, such as ["a"], or an object with fields`);
    }
    const matches = compilePattern(what, path, depth);
    return (value) => matches(valueOf(value));
  }
  if (what.length === 0) throw wrong(path, "the list is empty, and would match nothing");
  const matchers = what.map((one, i) => compileLeaf(one, `${path}[${i}]`));
  return (value) => {
    const leaves = leavesOf(valueOf(value));
    return matchers.some((matches) => matches(leaves));
  };
}

/** What a field holds that is no object: what is in lists, too. */
function leavesOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap(leavesOf);
  return value === undefined || isMembers(value) ? [] : [value];
}

function compileLeaf(what: unknown, path: string): LeafMatcher {
  if (isLiteral(what)) return (leaves) => leaves.includes(what);
  if (!isMembers(what)) throw wrong(path, "it must be a value, or an object with an operator");
  const [[operator, operand] = ["", undefined], ...more] = Object.entries(what);
  if (more.length > 0) {
    throw wrong(path, "it must have one operator; more go into objects beside it");
  }
  if (operator === "exists") {
    if (typeof operand !== "boolean") throw wrong(path, `"exists" takes true or false`);
    return (leaves) => (leaves.length > 0) === operand;
  }
  const make = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined;
  if (make === undefined) {
    const names = ["exists", ...Object.keys(OPERATORS)].join(", ");
    throw wrong(path, `there is no operator "${operator}"; there are ${names}`);
  }
  const test = make(operand, path);
  return (leaves) => leaves.some(test);
}

/** Makes an operator with its operand a test of one value. */
type Operator = (operand: unknown, path: string) => (leaf: unknown) => boolean;

/** What an operator says of a text, given another one. */
type TextTest = (text: string, operand: string) => boolean;

const startsWith: TextTest = (text, operand) => text.startsWith(operand);
const endsWith: TextTest = (text, operand) => text.endsWith(operand);
const isSame: TextTest = (text, operand) => text === operand;

const OPERATORS: Readonly<Record<string, Operator>> = {
  "prefix": (operand, path) => compileText("prefix", operand, { path, test: startsWith }),
  "suffix": (operand, path) => compileText("suffix", operand, { path, test: endsWith }),
  "equals-ignore-case": (operand, path) =>
    ignoringCase("equals-ignore-case", operand, { path, test: isSame }),
  "wildcard": compileWildcard,
  "anything-but": compileAnythingBut,
  "numeric": compileNumeric,
};

interface TextOptions {
  readonly path: string;
  readonly test: TextTest;
}

function compileText(
  name: string,
  operand: unknown,
  { path, test }: TextOptions,
): (leaf: unknown) => boolean {
  if (isMembers(operand) && Object.keys(operand).join() === "equals-ignore-case") {
    return ignoringCase(name, operand["equals-ignore-case"], { path, test });
  }
  if (typeof operand !== "string") throw wrong(path, `"${name}" takes a text`);
  return (leaf) => typeof leaf === "string" && test(leaf, operand);
}

function ignoringCase(
  name: string,
  operand: unknown,
  { path, test }: TextOptions,
): (leaf: unknown) => boolean {
  if (typeof operand !== "string") throw wrong(path, `"${name}" takes a text`);
  const lower = operand.toLowerCase();
  return (leaf) => typeof leaf === "string" && test(leaf.toLowerCase(), lower);
}

/** `*` stands for any characters, `\*` for itself. */
function compileWildcard(operand: unknown, path: string): (leaf: unknown) => boolean {
  if (typeof operand !== "string") throw wrong(path, `"wildcard" takes a text`);
  const parts = [""];
  for (const [part] of operand.matchAll(/\\[\\*]|\*+|[^]/g)) {
    if (part.startsWith("*")) parts.push("");
    else parts[parts.length - 1] += part.length === 2 ? part.slice(1) : part;
  }
  return (leaf) => typeof leaf === "string" && isMadeOf(leaf, parts);
}

/** Whether a text begins with the first part, ends with the last, and has the others in between, in order. */
function isMadeOf(text: string, parts: readonly string[]): boolean {
  const [first = "", ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function compileAnythingBut(operand: unknown, path: string): (leaf: unknown) => boolean {
  if (isMembers(operand)) {
    const [[operator, excluded] = ["", undefined], ...more] = Object.entries(operand);
    const make = ["prefix", "suffix", "equals-ignore-case", "wildcard"].includes(operator)
      ? OPERATORS[operator]
      : undefined;
    if (make === undefined || more.length > 0) {
      throw wrong(
        path,
        `"anything-but" takes values, or one of prefix, suffix, equals-ignore-case, wildcard`,
      );
    }
    const all = Array.isArray(excluded) ? excluded : [excluded];
    if (all.length === 0) throw wrong(path, `"anything-but" takes at least one value`);
    const tests = all.map((one) => make(one, path));
    return (leaf) => !tests.some((test) => test(leaf));
  }
  const all: readonly unknown[] = Array.isArray(operand) ? operand : [operand];
  if (all.length === 0 || !all.every(isLiteral)) {
    throw wrong(path, `"anything-but" takes values, of which there is at least one`);
  }
  return (leaf) => !all.includes(leaf);
}

const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  "=": (a, b) => a === b,
  ">=": (a, b) => a >= b,
  ">": (a, b) => a > b,
};

function compileNumeric(operand: unknown, path: string): (leaf: unknown) => boolean {
  const parts: readonly unknown[] = Array.isArray(operand) ? operand : [];
  const tests: ((leaf: number) => boolean)[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [sign, bound] = [parts[i], parts[i + 1]];
    const compare = typeof sign === "string" && Object.hasOwn(COMPARISONS, sign)
      ? COMPARISONS[sign]
      : undefined;
    if (compare !== undefined && typeof bound === "number") {
      tests.push((leaf) => compare(leaf, bound));
    }
  }
  if (tests.length === 0 || 2 * tests.length !== parts.length || tests.length > 2) {
    throw wrong(path, `"numeric" takes a comparison or two, such as [">", 0, "<=", 5]`);
  }
  return (leaf) => typeof leaf === "number" && tests.every((test) => test(leaf));
}

function isLiteral(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, reason: string): SyntaxError {
  return new SyntaxError(`${path}: ${reason}`);
}
