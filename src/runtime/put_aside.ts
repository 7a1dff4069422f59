/**
 * Owns: putting a record that is given up into the failure destination, for as long as it takes.
 * Must not: know what the destination is, or decide which records are given up.
 * Called by: `runtime/user_code.ts`.
 *
 * @module
 */

import { type Backoff, backoffMs } from "../core/policy.ts";
import { toEventError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { Clock, FailedRecord, FailureDestination, Random } from "../ports.ts";
import { placeOf } from "./delivered_record.ts";
import type { Lease } from "./lease_keeper.ts";
import { withTimeout } from "./tasks.ts";

/** What putting a record aside needs of the worker. */
export interface PutAsideDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: EventSink;
}

const BACKOFF: Backoff = { baseMs: 200, maxMs: 30_000 };
/** A destination that does not answer has failed; what it does with the record later makes a second copy at worst. */
const TIMEOUT_MS = 60_000;

/**
 * Puts a record aside. It is tried for as long as this worker has the shard: the record must not be lost, and whoever had the
 * shard next would stand before the same destination.
 *
 * @returns `drained` if the shard is to be given up first; then the record is not finished, and comes again.
 */
export async function putAside(
  destination: FailureDestination,
  failure: FailedRecord,
  options: { readonly deps: PutAsideDeps; readonly lease: Lease; readonly until: AbortSignal },
): Promise<"done" | "drained" | "lost"> {
  const { deps: { clock, random, emit }, lease, until } = options;
  const about = { ...placeOf(failure), destination: destination.name };
  const put = async (signal: AbortSignal): Promise<void> => await destination.put(failure, signal);
  const onTimeout = (): Error =>
    new Error(`Cannot wait longer for ${destination.name}: no answer within ${TIMEOUT_MS} ms`);
  for (let attempt = 1;; attempt++) {
    try {
      await withTimeout(clock, TIMEOUT_MS, lease.signal, put, onTimeout);
      emit({ type: "record_put_aside", ...about });
      return lease.isHeld ? "done" : "lost";
    } catch (error) {
      if (!lease.isHeld) return "lost";
      const retryInMs = backoffMs(attempt, BACKOFF, random.next());
      emit({ type: "put_aside_failed", ...about, attempt, retryInMs, error: toEventError(error) });
      // An abort ends the wait early; why is asked below.
      await clock.sleep(retryInMs, until).catch(() => {});
      if (until.aborted) return lease.isHeld ? "drained" : "lost";
    }
  }
}
