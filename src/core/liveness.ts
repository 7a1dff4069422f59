/**
 * Owns: the judgement whether a worker is alive.
 * Must not: read a wall clock, or compare the times of two machines.
 * Called by: `runtime/membership.ts`; the simulator's checkers.
 *
 * A worker is dead when its beat stood still for its own `heartbeatTimeout`, measured on the observer's monotonic clock
 * from the moment the observer first saw that beat. The worker measures from before it wrote the beat, so it always gives
 * up its shards before anybody else may take them. It is judged by the time-out that its own row states, so that workers
 * with different settings can live in one cluster.
 *
 * @module
 */

import type { WorkerRow } from "./lease.ts";

/** When an observer first saw the beat that a worker shows now. */
export interface Sighting {
  readonly row: WorkerRow;
  /** The observer's monotonic time, in milliseconds. */
  readonly since: number;
}

/** What an observer knows of the workers, by worker id. A worker without a row has left. */
export type Sightings = ReadonlyMap<string, Sighting>;

/** What is known after the rows were read. `now` is the monotonic time after the read. */
export function sight(known: Sightings, rows: readonly WorkerRow[], now: number): Sightings {
  return new Map(rows.map((row) => {
    const before = known.get(row.id);
    const stoodStill = before?.row.incarnation === row.incarnation && before.row.beat === row.beat;
    return [row.id, { row, since: stoodStill ? before.since : now }];
  }));
}

/** Whether the worker may still be working. */
export function isAlive(sighting: Sighting, now: number): boolean {
  return now - sighting.since < sighting.row.heartbeatTimeout;
}
