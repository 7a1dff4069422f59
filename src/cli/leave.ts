/**
 * Owns: how the process ends when a command is done.
 * Must not: end it in the middle of anything that it can wait for.
 * Called by: `cli.ts`.
 *
 * @module
 */

/** Something of a processor's may keep the process alive for ever. */
const LEAVE_MS = 2_000;

/**
 * Ends the process. Where Deno exports OpenTelemetry it ends by itself, with a last export: `Deno.exit` during an export whose
 * values are asked for hangs now and then, with Deno 2.9.
 */
export function leave(code: number): void {
  if (!isTelemetryExported()) Deno.exit(code);
  Deno.exitCode = code;
  Deno.unrefTimer(setTimeout(() => Deno.exit(code), LEAVE_MS));
}

/** Whether the runtime has put itself where OpenTelemetry looks for whoever exports; in an executable that is decided at its making. */
export function isTelemetryExported(): boolean {
  return Reflect.has(globalThis, Symbol.for("opentelemetry.js.api.1"));
}
