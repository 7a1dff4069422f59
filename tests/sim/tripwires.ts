/**
 * Owns: making every ambient source of time, chance and network throw while a simulation runs, and hearing of failures that nobody handles.
 * Must not: leave anything changed behind.
 * Called by: `simulation.ts`.
 *
 * @module
 */

/** What the code under test must get from its ports. */
const AMBIENT: readonly (readonly [object, string])[] = [
  [Date, "now"],
  [performance, "now"],
  [Math, "random"],
  [globalThis, "setTimeout"],
  [globalThis, "setInterval"],
  [globalThis, "fetch"],
  [crypto, "randomUUID"],
  [crypto, "getRandomValues"],
];

/** Runs something that must not use any of them. `onStray` is told of rejections that nobody handles. */
export async function withTripwires<T>(
  work: () => Promise<T>,
  onStray: (what: string) => void,
): Promise<T> {
  const restore = AMBIENT.map(([owner, name]) => {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, {
      configurable: true,
      writable: true,
      value: () => {
        onStray(`${name} was called`);
        throw new Error(`Cannot use ${name} in a simulation: it is not a port`);
      },
    });
    return () => {
      if (before !== undefined) Object.defineProperty(owner, name, before);
      else Reflect.deleteProperty(owner, name);
    };
  });
  const onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    const { reason } = event;
    onStray(`unhandled rejection: ${reason instanceof Error ? reason.stack : reason}`);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  try {
    return await work();
  } finally {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    for (const undo of restore) undo();
  }
}
