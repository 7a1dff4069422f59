/**
 * Owns: the failure destination that a user means: checked, made, and seen to be there.
 * Must not: decide which records go there, or what follows when one cannot.
 * Called by: `app.ts`.
 *
 * @module
 */

import {
  FAILURE_PLACE_WORDS,
  type FailurePlace,
  parseFailurePlace,
} from "../core/failure_place.ts";
import { messageOf } from "../errors.ts";
import type { FailedRecord, FailureDestination } from "../ports.ts";
import { AppendFile } from "./append_file.ts";
import { type AwsOptions, connectAws } from "./aws_calls.ts";
import { formatFailure } from "./failure_format.ts";
import { FailureStream } from "./failure_stream.ts";

/**
 * Is given each record that is given up. When it returns, or its promise resolves, the record is safe and the checkpoint may pass
 * it. If it throws, or takes longer than a minute, it is called again later, and the record waits. `signal` aborts when the shard
 * is lost, or that minute is over.
 */
export type FailureFunction = (failure: FailedRecord, signal: AbortSignal) => void | Promise<void>;

/** Where records go that are given up: a file, another stream, or a function. */
export type OnFailure = `file:${string}` | `kinesis:${string}` | FailureFunction;

/** A failure destination that is checked. */
export type CheckedOnFailure =
  | FailurePlace
  | { readonly kind: "function"; readonly put: FailureFunction }
  | { readonly kind: "nowhere" };

/** A failure destination that can be used. */
export interface OpenDestination {
  /** Undefined if records that are given up go nowhere. */
  readonly destination: FailureDestination | undefined;
  /** Closes its connections. */
  close(): void;
}

/**
 * Checks what a user says.
 *
 * @throws {TypeError | RangeError} If it is no destination, or the very stream that the records come from.
 */
export function checkOnFailure(onFailure: unknown, streamName: string): CheckedOnFailure {
  if (onFailure === undefined) return { kind: "nowhere" };
  if (typeof onFailure === "function") {
    return { kind: "function", put: onFailure as FailureFunction };
  }
  const place = typeof onFailure === "string" ? parseFailurePlace(onFailure) : undefined;
  if (place === undefined) {
    const shown = JSON.stringify(onFailure)?.slice(0, 150);
    throw new TypeError(
      `Cannot use onFailure ${shown}: it must be ${FAILURE_PLACE_WORDS}, or a function`,
    );
  }
  if (place.kind === "stream" && place.streamName === streamName) {
    throw new RangeError(
      `Cannot use onFailure "kinesis:${streamName}": that is the stream that is processed, where a ` +
        "record that fails would fail again and again; use another stream",
    );
  }
  return place;
}

/**
 * Makes the destination, and sees whether it is there: better now than at the first failure.
 *
 * @throws {Error} If the file cannot be written.
 * @throws {SourceError} If the stream does not exist.
 */
export async function openFailureDestination(
  onFailure: CheckedOnFailure,
  options: AwsOptions & { readonly signal?: AbortSignal },
): Promise<OpenDestination> {
  const close = (): void => {};
  switch (onFailure.kind) {
    case "nowhere":
      return { destination: undefined, close };
    case "function":
      return { destination: { name: "function", put: onFailure.put }, close };
    case "file":
      return { destination: await openFile(onFailure.path), close };
    case "stream":
      return await openStream(onFailure.streamName, options);
    default:
      return onFailure satisfies never;
  }
}

async function openStream(
  streamName: string,
  options: AwsOptions & { readonly signal?: AbortSignal },
): Promise<OpenDestination> {
  const clients = connectAws(options);
  const destination = new FailureStream(await clients.kinesis(), streamName);
  try {
    await destination.check(options.signal ?? new AbortController().signal);
  } catch (error) {
    clients.close();
    throw error;
  }
  return { destination, close: () => clients.close() };
}

async function openFile(path: string): Promise<FailureDestination> {
  const file = new AppendFile(path);
  const orExplain = (error: unknown): never => {
    throw new Error(
      `Cannot put failed records into file "${path}": ${messageOf(error)}; its folder must be ` +
        "there, and this process must be allowed to write",
      { cause: error },
    );
  };
  await file.prepare().catch(orExplain);
  return {
    name: `file:${path}`,
    put: (failure) => file.append(formatFailure(failure)).catch(orExplain),
  };
}
