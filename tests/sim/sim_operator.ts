/**
 * Owns: an operator who steers the simulated cluster from a machine of their own.
 * Must not: decide when, or what.
 * Called by: `fleet.ts`.
 *
 * @module
 */

import { ClusterControl } from "../../src/runtime/cluster_control.ts";
import { type PortHost, SimClock, SimRandom } from "./sim_clock.ts";
import { type PortOptions, SimLeaseStore, UNOBSERVED } from "./sim_ports.ts";
import type { SimTable } from "./sim_table.ts";

const NAME = "operator";

/** Steers the cluster. Every call may fail. */
export function simOperator(
  options: Omit<PortOptions, "host" | "clock" | "observer">,
  table: SimTable,
  onFault: (what: string) => void,
): ClusterControl {
  const host: PortHost = {
    name: NAME,
    isCrashed: false,
    pausedUntil: 0,
    isDeaf: { requests: false, replies: false },
    pendingCalls: 0,
    pendingSleeps: 0,
  };
  const clock = new SimClock(options.world, host, { rate: 1, offsetMs: 0 });
  const observer = { ...UNOBSERVED, onFault };
  const store = new SimLeaseStore(
    { ...options, host, clock, observer },
    table,
    { isTorn: () => false, readyAt: 0 },
  );
  const random = new SimRandom(options.random.fork(), NAME);
  return new ClusterControl({ store, clock, random, emit: () => {} }, () => {});
}
