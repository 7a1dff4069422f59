/**
 * Owns: the look at the rows of the cluster, and acting on it: take, refuse, answer, clean up.
 * Must not: decide who should have what; that is `core/balance.ts`.
 * Called by: `runtime/worker.ts`.
 *
 * The rows of the workers are read once per `heartbeat`, those of the shards only when there is a reason to: somebody asked
 * for attention, a worker left, another one has too many shards, a request is under way, or the time has come. In a large
 * cluster the last reason, and a worker's leaving, are the business of a few (`core/duty.ts`), who tell the others when there is
 * something for them: else every worker would read every row all the time.
 *
 * @module
 */

import { answerRequests, type ClusterView, freeShards, heirs, plan } from "../core/balance.ts";
import type { ResolvedConfig } from "../core/config.ts";
import { dutyFactor, ON_DUTY_MAX } from "../core/duty.ts";
import { clearHandover, isEnded, passOn, refuse, type ShardRow } from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { toEventError, WorkerReplacedError } from "../errors.ts";
import type { Membership } from "./membership.ts";
import { type WriteDeps, writeEachPatiently, writePatiently } from "./patient_write.ts";
import { RowNews } from "./row_news.ts";
import { ShardRequests } from "./shard_requests.ts";
import type { ShardRoster } from "./shard_roster.ts";
import { Bell, forEachLimited, SerialQueue } from "./tasks.ts";
import { Watch } from "./watch.ts";

/** What the survey needs of the worker. */
export interface SurveyDeps extends WriteDeps {
  readonly self: string;
  readonly config: ResolvedConfig;
  readonly membership: Membership;
  readonly roster: ShardRoster;
}

const WRITES_AT_ONCE_MAX = 16;
/** Least time between two looks, so that a burst of reasons costs one. */
const LOOK_GAP_MS = 100;
const LOOK_BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 };

/** Looks at the cluster. */
export class Survey {
  readonly #deps: SurveyDeps;
  readonly #bell = new Bell();
  readonly #queue = new SerialQueue();
  /** The look that was asked for, until it begins. */
  #nextLook: Promise<void> | undefined;
  /** Children of shards that ended here: taken here without asking who has fewest, so that nobody waits. */
  readonly #adopted = new Set<string>();
  readonly #news: RowNews;
  #rows: readonly ShardRow[] = [];
  #heirs: ReadonlyMap<string, string> | undefined;
  /** When a shard that is free, given or asked for was first seen as it is, on the monotonic clock. */
  #firstSeen: ReadonlyMap<string, number> = new Map();
  readonly #watch: Watch;
  readonly #requests: ShardRequests;
  #lookedAt = -Infinity;

  /** @param deps What it needs of the worker. */
  constructor(deps: SurveyDeps) {
    this.#deps = deps;
    this.#watch = new Watch(deps);
    this.#requests = new ShardRequests({ ...deps, watch: this.#watch });
    this.#news = new RowNews(deps.emit);
  }

  /** Asks for a look soon. */
  ring(): void {
    this.#bell.ring();
  }

  /** Looks after the shards of a worker that left, such as those that were given to it too late. */
  seeTo(workerId: string): void {
    this.#watch.seeTo(workerId);
    this.ring();
  }

  /** Takes these shards here as soon as they are free and ready. */
  adopt(shardIds: readonly string[]): void {
    for (const shardId of shardIds) this.#adopted.add(shardId);
  }

  /** Looks whenever there is a reason to, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, emit } = this.#deps;
    for (let failures = 0;;) {
      const isRung = await this.#bell.wait(clock, this.#pause(), signal);
      try {
        await this.#step(isRung, signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted || error instanceof WorkerReplacedError) throw error;
        emit({ type: "task_failed", task: "look at the state table", error: toEventError(error) });
        failures += 1;
      }
      const gap = failures === 0 ? 0 : backoffMs(failures, LOOK_BACKOFF, random.next());
      await clock.sleep(Math.max(LOOK_GAP_MS, gap), signal);
    }
  }

  async #step(isRung: boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    if (isRung || this.#isDue()) return await this.look(signal);
    if (this.#requests.isOpen) await this.#queue.run(() => this.#fetchAsked(signal));
    if (clock.monotonic() < this.#watchAt()) return;
    this.#watch.begin();
    const isConcerned = await this.#watch.isConcernedBy(await this.#watch.look(signal), signal);
    if (isConcerned || this.#requests.isTime()) await this.look(signal);
  }

  /** Looks at the rows and acts on them, one look after the other; all who ask while one is under way share the next one. */
  look(signal: AbortSignal): Promise<void> {
    this.#nextLook ??= this.#queue.run(() => {
      this.#nextLook = undefined;
      return this.#look(signal);
    });
    return this.#nextLook;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { roster } = this.#deps;
    await this.#read(signal);
    roster.reconcile(this.#rows);
    const view = this.#view();
    const { take, refuse: refused, remind } = plan(view);
    const dead = await this.#confirmDead([...take, ...refused], signal);
    await this.#take(take.filter((row) => dead.has(row.owner)), signal);
    const { self } = this.#deps;
    const freed = refused.filter((row) => dead.has(row.owner));
    await writeEachPatiently(this.#deps, freed, (row) => refuse(row, self, view.alive), { signal });
    this.#remind(remind, view, signal);
    this.#watch.settled();
    await this.#answer(view, signal);
    // What was taken just now is not in the view: whoever asked by it would ask for too much.
    if (take.length === 0) await this.#requests.ask(view, signal);
    else this.ring();
    this.#news.tellStoppedEverywhere(view);
    const owners = new Set(this.#rows.flatMap((row) => row.owner ?? []));
    await this.#deps.membership.bury(owners, signal);
  }

  /** Who should get a shard that this worker gives up; undefined if there is nobody. */
  heirOf(row: ShardRow): string | undefined {
    return this.#heirs?.get(row.id) ?? heirs(this.#view(), [row]).get(row.id);
  }

  /**
   * Chooses who gets which of this worker's shards, before it gives up all of them. What was given to it, and it has not taken
   * yet, is passed on now; returns who got some of that.
   */
  async chooseHeirs(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { self, roster } = this.#deps;
    await this.#read(signal);
    const given = this.#rows.filter((row) =>
      row.owner === self && row.holder === null && !isEnded(row) && !roster.isHere(row.id)
    );
    const chosen = heirs(this.#view(), [...roster.rows(), ...given]);
    this.#heirs = chosen;
    const told = new Set<string>();
    await forEachLimited(given, WRITES_AT_ONCE_MAX, async (row) => {
      const heir = chosen.get(row.id);
      if (heir === undefined) return;
      const { kind } = await writePatiently(this.#deps, passOn(row, heir, "leaving"), signal);
      if (kind === "written") told.add(heir);
    });
    return told;
  }

  /** Reads the rows: those of the workers last, so that whoever owns a shard is known. */
  async #read(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#deps;
    const { rows, malformed } = await store.list("shard", signal);
    this.#news.tellMalformed(malformed);
    await this.#watch.look(signal);
    this.#rows = rows;
    this.#requests.saw(rows);
    this.#lookedAt = clock.monotonic();
    const seen = this.#firstSeen;
    const underWay = rows.filter((row) => row.handover !== null || row.holder === null);
    this.#firstSeen = new Map(
      [...freeShards(this.#view()), ...underWay].map(turnOf)
        .map((key) => [key, seen.get(key) ?? this.#lookedAt]),
    );
  }

  #view(): ClusterView {
    const { self, membership, roster, config } = this.#deps;
    const patience = config.checkUnprocessedShardsFrequency;
    const tellsOf = this.#watch.tellsOf();
    return {
      self,
      shards: this.#rows,
      alive: membership.alive(),
      takers: membership.takers(),
      isHere: (shardId) => roster.isHere(shardId),
      isStoppedHere: (shardId) => roster.isStopped(shardId),
      isToTell: (row) => tellsOf(row.owner),
      isOverdue: (row) => this.#adopted.has(row.id) || this.#age(turnOf(row)) >= patience,
    };
  }

  /** Those of the owners whose shards are free: nobody, this worker, and the dead, whose rows are read once more. */
  async #confirmDead(
    rows: readonly ShardRow[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<string | null>> {
    const dead = new Set<string | null>([null, this.#deps.self]);
    for (const owner of new Set(rows.map((row) => row.owner))) {
      if (owner === null || dead.has(owner)) continue;
      if (await this.#deps.membership.isDead(owner, signal)) dead.add(owner);
    }
    return dead;
  }

  async #take(rows: readonly ShardRow[], signal: AbortSignal): Promise<void> {
    const { roster, emit } = this.#deps;
    const known = new Set(this.#rows.map((row) => row.id));
    await forEachLimited(rows, WRITES_AT_ONCE_MAX, async (row) => {
      try {
        if (await this.#isReady(row, known, signal)) await roster.take(row, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        // The next look tries again; the other shards need not wait for it.
        emit({ type: "task_failed", task: `take ${row.id}`, error: toEventError(error) });
      }
    });
    for (const row of this.#rows) {
      if (row.owner !== null || isEnded(row)) this.#adopted.delete(row.id);
    }
  }

  /** Tells the others what there is for them. In a small cluster each of them looks for itself. */
  #remind(workers: ReadonlySet<string>, view: ClusterView, signal: AbortSignal): void {
    if (view.takers.size <= ON_DUTY_MAX) return;
    for (const workerId of workers) {
      if (workerId !== view.self) this.#deps.membership.nudge(workerId, signal);
    }
  }

  /**
   * Whether the parents that were not among the rows are really gone. A list of rows is no snapshot: the row of a parent may
   * have been created after its part of the list was read, and before that of the child.
   */
  async #isReady(
    row: ShardRow,
    known: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (const id of row.parents.filter((parent) => !known.has(parent))) {
      const parent = await this.#deps.store.read("shard", id, signal);
      if (parent !== null && !isEnded(parent)) return false;
    }
    return true;
  }

  async #answer(view: ClusterView, signal: AbortSignal): Promise<void> {
    const { give, decline } = answerRequests(view);
    for (const row of give) this.#deps.roster.handOver(row);
    const expiry = this.#deps.config.handoverRequestExpiry;
    const declined = new Set(decline);
    const expired = this.#rows.filter((row) =>
      row.handover !== null && !declined.has(row) && this.#age(turnOf(row)) >= expiry
    );
    await writeEachPatiently(this.#deps, [...decline, ...expired], clearHandover, {
      signal,
      onWritten: (row) => {
        const to = row.handover?.to ?? "";
        this.#deps.emit({ type: "handover_cleared", shardId: row.id, to });
      },
    });
  }

  /** Takes the shards that were given after this worker asked for them; of a few among many, only the rows are read. */
  async #fetchAsked(signal: AbortSignal): Promise<void> {
    const given = await this.#requests.answers(this.#rows.length, signal);
    if (given === undefined) await this.#look(signal);
    else await this.#take(given, signal);
  }

  /** How long until the next look at the workers, or at everything. */
  #pause(): number {
    const { clock, config } = this.#deps;
    const nextLook = this.#lookedAt + this.#lookEvery() - clock.monotonic();
    const nextMembers = this.#watchAt() - clock.monotonic();
    const nextFetch = this.#requests.isOpen
      ? Math.min(5_000, Math.max(200, config.heartbeat / 4))
      : Infinity;
    return Math.max(0, Math.min(nextLook, nextMembers, nextFetch));
  }

  #isDue(): boolean {
    return this.#deps.clock.monotonic() - this.#lookedAt >= this.#lookEvery();
  }

  #lookEvery(): number {
    const { self, config, membership } = this.#deps;
    const period = Math.min(
      config.checkUnprocessedShardsFrequency,
      config.checkPendingHandoverRequestFrequency,
    );
    return period * dutyFactor(self, membership.takers(), "look");
  }

  /** When to look at the rows of the workers next. Whoever has nothing to do yet looks out for something. */
  #watchAt(): number {
    const { roster, membership } = this.#deps;
    const isJoining = roster.size === 0 &&
      (this.#watch.isGrowing() || membership.largestLoad() > 1);
    return this.#watch.at({ isSoon: isJoining || this.#requests.isUneven });
  }

  /** For how long a shard that is free, given or asked for has been seen as it is, in milliseconds. */
  #age(key: string): number {
    const since = this.#firstSeen.get(key);
    return since === undefined ? 0 : this.#deps.clock.monotonic() - since;
  }
}

/** Names a shard as it is now: a change of owner, or another request for it, makes it another one. */
function turnOf(row: ShardRow): string {
  return `${row.id} ${row.term} ${row.handover?.id ?? ""}`;
}
