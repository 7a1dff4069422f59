// Owns: the processes below another one, and what they use, as Linux tells it.
// Must not: assert anything.
// Called by: the tests of the sandbox.

/** Whether this system tells it. */
export const HAS_PROC: boolean = Deno.build.os === "linux";

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly isZombie: boolean;
  /** The time of all its threads, in hundredths of a second. */
  readonly cpuTicks: number;
}

function statOf(pid: number | string): ProcessStat | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  } catch {
    return undefined; // It has ended.
  }
  // The name may have anything in it, and is in brackets.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    pid: Number(pid),
    parent: Number(fields[1]),
    isZombie: fields[0] === "Z",
    cpuTicks: Number(fields[11]) + Number(fields[12]),
  };
}

/** The processes that a process started, and those that they did. */
export function descendantsOf(pid: number): readonly number[] {
  const all = [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    const stat = /^\d+$/.test(name) ? statOf(name) : undefined;
    return stat === undefined || stat.isZombie ? [] : [stat];
  });
  const below = (parent: number): readonly number[] =>
    all.filter((stat) => stat.parent === parent).flatMap(({ pid }) => [pid, ...below(pid)]);
  return below(pid);
}

export function isAlive(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && !stat.isZombie;
}

/** The part of one core that a process and those below it use during a time: 1 is a core. */
export async function coresUsedBy(pid: number, ms: number): Promise<number> {
  const ticks = (): number =>
    [pid, ...descendantsOf(pid)].reduce((sum, one) => sum + (statOf(one)?.cpuTicks ?? 0), 0);
  const before = ticks();
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (ticks() - before) * 10 / (performance.now() - startedAt);
}
