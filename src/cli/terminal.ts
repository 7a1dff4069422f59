/**
 * Owns: what the command line knows of the outside: stdout for programs, stderr for people, the environment.
 * Must not: know any command.
 * Called by: every command; the tests replace it.
 *
 * @module
 */

import { messageOf } from "../errors.ts";

/** Where a command reads and writes. */
export interface Terminal {
  /** Writes to stdout, which is for results and for programs; rejects when nobody reads it any more. */
  write(text: string): Promise<void>;
  /** Writes to stderr, which is for people; rejects when nobody reads it any more. */
  writeError(text: string): Promise<void>;
  /** Writes one line to stderr, now. */
  say(line: string): void;
  /** The lines of stdin as they are, as many together as have arrived together. */
  readLines(): AsyncIterable<readonly Uint8Array[]>;
  /** A variable of the environment; undefined if it is not set, empty, or may not be read. */
  env(name: string): string | undefined;
  /** Whether a person looks at stdout. */
  readonly isStdoutInteractive: boolean;
  /** Whether a person looks at stderr. */
  readonly isStderrInteractive: boolean;
  /** Whether a person types on stdin. */
  readonly isStdinInteractive: boolean;
  /** How many characters stdout has in a line; undefined if it is no terminal, or does not say. */
  columns(): number | undefined;
}

/** The terminal of this process. */
export function systemTerminal(): Terminal {
  return {
    write: (text) => writeAll(Deno.stdout, text),
    writeError: (text) => writeAll(Deno.stderr, text),
    // deno-lint-ignore no-console -- the one place where the command line speaks to people
    say: (line) => console.error(line),
    readLines: () => linesOf(Deno.stdin.readable),
    env: readEnv,
    isStdoutInteractive: Deno.stdout.isTerminal(),
    isStderrInteractive: Deno.stderr.isTerminal(),
    isStdinInteractive: Deno.stdin.isTerminal(),
    columns: () => Deno.stdout.isTerminal() ? columnsOfWindow() : undefined,
  };
}

/** Whether output to a place may be coloured; see https://no-color.org. */
export function wantsColor(terminal: Terminal, isInteractive: boolean): boolean {
  return isInteractive && terminal.env("NO_COLOR") === undefined && terminal.env("TERM") !== "dumb";
}

/**
 * Text as a terminal may get it. Names of workers and messages of processors come from outside: what they hold must not
 * move the cursor, set the title, or pass for another line.
 */
export function printable(text: string): string {
  return text.replaceAll(/(?!\n)\p{C}/gu, "\ufffd");
}

/** The same of what is to stay within its line. */
export function printableLine(text: string): string {
  return text.replaceAll(/\p{C}/gu, "\ufffd");
}

/** A value as JSON, see {@linkcode harmlessJson}. */
export function jsonText(value: unknown): string {
  return harmlessJson(JSON.stringify(value));
}

/**
 * JSON whose reader may be a person after all. What JSON leaves as it is, and a terminal obeys or shows in another order, is
 * escaped; to a program that is the same.
 */
export function harmlessJson(json: string): string {
  return json.replaceAll(
    /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Tells a person about a failure: its message, and where it comes from if `KINESIX_DEBUG` is set. */
export function sayError(error: unknown, terminal: Terminal): void {
  const message = error instanceof Deno.errors.BrokenPipe
    ? "Cannot write the output: nobody reads it any more"
    : messageOf(error);
  terminal.say(`error: ${printable(message)}`);
  if (terminal.env("KINESIX_DEBUG") !== undefined) terminal.say(printable(Deno.inspect(error)));
}

/**
 * The lines of a stream, without their ends, as many together as have arrived together. They stay bytes: a line need not
 * be text. The last line needs no end.
 */
export async function* linesOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[]> {
  // Joined only when the line is complete: a long one arrives in many pieces.
  let pieces: Uint8Array[] = [];
  for await (const chunk of stream) {
    const lines: Uint8Array[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      lines.push(withoutReturn(join([...pieces, chunk.subarray(start, end)])));
      pieces = [];
      start = end + 1;
    }
    pieces.push(chunk.subarray(start));
    if (lines.length > 0) yield lines;
  }
  const last = join(pieces);
  if (last.length > 0) yield [last];
}

const LF = 10;
const CR = 13;

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

function withoutReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === CR ? line.subarray(0, -1) : line;
}

function readEnv(name: string): string | undefined {
  // Without the permission a read would ask the user, or throw; a flag gives the same value.
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") {
    return undefined;
  }
  return Deno.env.get(name) || undefined;
}

function columnsOfWindow(): number | undefined {
  try {
    return Deno.consoleSize().columns || undefined;
  } catch {
    return undefined; // It is no window.
  }
}

async function writeAll(target: typeof Deno.stdout, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  let written = 0;
  while (written < bytes.length) written += await target.write(bytes.subarray(written));
}
