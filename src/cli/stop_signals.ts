/**
 * Owns: SIGINT and SIGTERM: the first one asks for a clean stop, the second one ends the process at once. SIGHUP asks to look for
 * something new.
 * Must not: stop anything itself.
 * Called by: every command that runs until it is told to stop.
 *
 * @module
 */

// Windows has no SIGTERM; Ctrl-Break is what it sends instead.
const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/** What a shell reports for a process that a signal ended: 128 and the number of the signal. */
const EXIT_CODES: Partial<Record<Deno.Signal, number>> = {
  SIGINT: 130,
  SIGTERM: 143,
  SIGHUP: 129,
  SIGBREAK: 149,
};

/** The wish of a person or a supervisor that this process stops. */
export interface StopSignals extends Disposable {
  /** Aborts at the first signal; its reason is the name of the signal. */
  readonly signal: AbortSignal;
}

/**
 * Listens until it is disposed.
 *
 * @param onSecond Is called right before a second signal ends the process.
 * @param more Signals that ask for a stop besides.
 */
export function listenForStop(
  onSecond: () => void = () => {},
  more: readonly Deno.Signal[] = [],
): StopSignals {
  const controller = new AbortController();
  const listeners = [...SIGNALS, ...more].map((name) => {
    const listener = () => {
      if (!controller.signal.aborted) return controller.abort(name);
      onSecond();
      Deno.exit(EXIT_CODES[name] ?? 1);
    };
    Deno.addSignalListener(name, listener);
    return { name, listener };
  });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const { name, listener } of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}

/**
 * Whether SIGHUP, which a terminal sends that is closed, asks this process to stop. `nohup` leaves no terminal to it, and wants it
 * to go on. The runtime has a handler of its own, which would end the process at once: somebody has to listen in any case.
 */
export function stopsAtHangup(): boolean {
  return Deno.build.os !== "windows" && (Deno.stdout.isTerminal() || Deno.stderr.isTerminal());
}

/** The wish that what changed is used. */
export interface ReloadSignals extends Disposable {
  /** Calls a function at each SIGHUP from now on; at once if one came before, when there was nobody to tell. */
  follow(onReload: () => void): void;
}

/** Listens for SIGHUP, which would end the process, until it is disposed; without anybody to tell it means nothing. Windows has none. */
export function listenForReload(): ReloadSignals {
  let isAsked = false;
  let tell = (): void => {
    isAsked = true;
  };
  const listener = (): void => tell();
  const isThere = Deno.build.os !== "windows";
  if (isThere) Deno.addSignalListener("SIGHUP", listener);
  return {
    follow(onReload) {
      tell = onReload;
      if (isAsked) onReload();
    },
    [Symbol.dispose]: () => isThere && Deno.removeSignalListener("SIGHUP", listener),
  };
}

/** Resolves when a signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
