/**
 * Owns: `kinesix status --watch` on a terminal: looking again and again, and the keys.
 * Must not: know what a line looks like.
 * Called by: `status.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { ReactoKinesixApp } from "../app.ts";
import { type ClusterStatus, clusterStatus } from "../core/status.ts";
import { messageOf } from "../errors.ts";
import type { ClusterOptions } from "../world.ts";
import { patiently } from "./patience.ts";
import { openScreen } from "./screen.ts";
import { Looks, nextOrder, screenLines, type ShardOrder } from "./status_screen.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import { type Terminal, wantsColor } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Between two looks. */
export const WATCH_MS = 2_000;

const QUIT_KEYS = ["q", "Q", "\x03", "\x1b"];
const ORDER_KEYS = ["s", "S"];

type WatchOptions = ClusterOptions & Parameters<typeof ReactoKinesixApp.control>[0];

/** Shows the cluster until a key or a signal ends it. The first look fails as without watching. */
export async function watchStatus(
  options: WatchOptions,
  values: Values,
  terminal: Terminal,
): Promise<void> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  await using control = await ReactoKinesixApp.control(options);
  const look = async (): Promise<ClusterStatus> => {
    const shards = await control.shards();
    const workers = await control.workers();
    const now = Date.now();
    return clusterStatus(
      workers,
      shards,
      ({ beatAt, heartbeatTimeout }) => now - beatAt < heartbeatTimeout,
    );
  };
  const looks = new Looks();
  const first = await patiently(look(), { values, terminal, services: ["dynamodb"] });
  looks.add(first, Date.now());
  let order: ShardOrder = "worst";
  let problem: string | undefined;
  const quit = new AbortController();
  using signals = listenForStop();
  const over = AbortSignal.any([signals.signal, quit.signal]);
  using screen = openScreen({
    onKey(key) {
      if (QUIT_KEYS.includes(key)) quit.abort();
      if (!ORDER_KEYS.includes(key)) return;
      order = nextOrder(order);
      draw();
    },
    onResize: () => draw(),
  });
  const draw = (): void => {
    const { appName, streamName } = options;
    screen.draw(
      screenLines(looks, { ...screen.size, appName, streamName, order, paint, problem }),
    );
  };
  draw();
  const stopped = aborted(over);
  while (!over.aborted) {
    await Promise.race([delay(WATCH_MS, { signal: over }).catch(() => {}), stopped]);
    if (over.aborted) return;
    try {
      const seen = await Promise.race([look(), stopped]);
      if (seen) looks.add(seen, Date.now());
      problem = undefined;
    } catch (error) {
      // It worked before, so that the next time may work again; until then the last look stays.
      problem = messageOf(error);
    }
    draw();
  }
}
