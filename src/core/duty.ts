/**
 * Owns: which few of many workers do what one could do for all, so that the cost of a cluster at rest grows with its size
 * and not with the square of it.
 * Must not: be relied upon by safety: two workers may see different members, and all may be on duty, or none.
 * Called by: `runtime/survey.ts`, `runtime/shard_sync.ts`.
 *
 * @module
 */

/** How many workers are on duty for each job: one of them may have died a moment ago without anybody knowing. */
export const ON_DUTY_MAX = 3;

/**
 * Whether a worker is among the {@linkcode ON_DUTY_MAX} that a job falls to. Each job falls to others, and to the same
 * ones for everybody who sees the same members (rendezvous hashing).
 */
export function isOnDuty(workerId: string, members: ReadonlySet<string>, job: string): boolean {
  if (members.size <= ON_DUTY_MAX) return true;
  const own = score(workerId, job);
  let ahead = 0;
  for (const member of members) {
    if (member === workerId) continue;
    const other = score(member, job);
    if (other < own || (other === own && member < workerId)) ahead += 1;
    if (ahead === ON_DUTY_MAX) return false;
  }
  return true;
}

/** By how much longer the others may wait than those on duty, so that all of them together are as busy as those are. */
export function dutyFactor(workerId: string, members: ReadonlySet<string>, job: string): number {
  return isOnDuty(workerId, members, job) ? 1 : members.size / ON_DUTY_MAX;
}

/** Up to how many workers each looks at all the others once in a heartbeat. */
export const WATCHERS_MAX = 10;

/**
 * How often a worker looks at the rows of the others, in milliseconds. Many together see each beat soon even if each of them
 * looks seldom; what counts is that one of them looks again right when a beat that stood still has done so for its
 * time-out. So the time-out is a whole number of such periods, none of them shorter than a heartbeat.
 */
export function watchEvery(
  members: number,
  options: { readonly heartbeat: number; readonly heartbeatTimeout: number },
): number {
  const { heartbeat, heartbeatTimeout } = options;
  if (members <= WATCHERS_MAX) return heartbeat;
  const wanted = heartbeat * members / WATCHERS_MAX;
  const periods = Math.min(
    Math.ceil(heartbeatTimeout / wanted),
    Math.floor(heartbeatTimeout / heartbeat),
  );
  return heartbeatTimeout / Math.max(1, periods);
}

/**
 * The place of a worker in the queue for a job, as a number; another order for each job. FNV-1a with a final mix:
 * https://www.rfc-editor.org/rfc/rfc9923
 */
export function score(workerId: string, job: string): number {
  let hash = 0x811c9dc5;
  for (const text of [job, "\0", workerId]) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
