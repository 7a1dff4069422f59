/**
 * Owns: what an app, a stream and a worker may be called.
 * Must not: make a name up.
 * Called by: `app.ts`.
 *
 * @module
 */

const NAME = /^[A-Za-z0-9_.-]+$/;
/** DynamoDB table names have up to 255 characters, of which the suffix may take 200. */
const APP_NAME_MAX = 55;
const STREAM_NAME_MAX = 128;
const WORKER_ID_MAX = 128;

/**
 * The names of an app and a stream.
 *
 * @throws {RangeError} If one of them is not acceptable.
 */
export function checkNames(
  options: { readonly appName: string; readonly streamName: string },
): { readonly appName: string; readonly streamName: string } {
  return {
    appName: checkName("appName", options.appName, APP_NAME_MAX),
    streamName: checkName("streamName", options.streamName, STREAM_NAME_MAX),
  };
}

function checkName(option: string, name: unknown, max: number): string {
  if (typeof name === "string" && NAME.test(name) && name.length <= max) return name;
  throw new RangeError(
    `Cannot use ${option} ${
      JSON.stringify(name)?.slice(0, 150)
    }: it must be 1 to ${max} letters, ` +
      `digits, "_", "-" or "."`,
  );
}

/** @throws {RangeError} If it is not acceptable. */
export function checkWorkerId(workerId: unknown): string {
  // No control characters: the name goes into logs and on to terminals.
  const isPrintable = typeof workerId === "string" && /^[^\p{C}]+$/u.test(workerId);
  if (isPrintable && workerId.length <= WORKER_ID_MAX) return workerId;
  throw new RangeError(
    `Cannot use workerId ${JSON.stringify(workerId)?.slice(0, 150)}: it must be 1 to ` +
      `${WORKER_ID_MAX} printable characters`,
  );
}
