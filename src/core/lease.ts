/**
 * Owns: the rows of the state table, and every move that a worker may make on a shard row.
 * Must not: perform a move, wait, or know the time; the store performs, `runtime/lease_keeper.ts` decides when.
 * Called by: the runtime and the balance; the adapters map these rows to attributes.
 *
 * Each move is one compare-and-set. The **term** goes up by one each time a shard is taken, given or freed, so a move that
 * was made for an older term is refused, however late it arrives.
 *
 * @module
 */

import { type Checkpoint, SHARD_END } from "./checkpoint.ts";

/** A shard of the stream: who processes it and how far it is processed. */
export interface ShardRow {
  /** Tells the kinds of rows apart. */
  readonly kind: "shard";
  /** The shard id, such as `shardId-000000000000`. */
  readonly id: string;
  /** The worker that the shard is assigned to; null while nobody has it. */
  readonly owner: string | null;
  /** The incarnation of the owner that took the shard; null while it is free, or given but not taken yet. */
  readonly holder: string | null;
  /** The worker that had the shard before; null if nobody did. For people only. */
  readonly previousOwner: string | null;
  /** The fencing token: goes up by one at every change of owner. */
  readonly term: number;
  /** What is finished. */
  readonly checkpoint: Checkpoint;
  /** When the checkpoint was written, by the writer's clock, in milliseconds since the epoch. For people only. */
  readonly checkpointAt: number | null;
  /** How far the checkpoint was behind the tip of the shard when it was written, in milliseconds. */
  readonly millisBehindLatest: number | null;
  /** The shards that this one was split or merged from. */
  readonly parents: readonly string[];
  /** The first and the last hash key of the shard, both inclusive, as decimal numbers. */
  readonly hashKeyRange: { readonly start: string; readonly end: string } | null;
  /** The workers that will not process this shard until they are told to. */
  readonly stoppedBy: readonly string[];
  /** Another worker, or an operator for it, asks the owner for the shard. */
  readonly handover: HandoverRequest | null;
  /** Why the shard is where it is: the reason for the last change of owner. For people only. */
  readonly because: MoveReason | null;
  /** The last word of an operator on whether the cluster processes the shard; null if there never was one. */
  readonly order: ShardOrder | null;
  /** What the processor keeps for the shard at this checkpoint, such as open windows; null if there is nothing. */
  readonly state: string | null;
}

/** Why a shard changed its owner:
 * - `free`: nobody had it. `ownerDead`: its owner showed no heartbeat. `ownRow`: its owner took it again, after a restart or a lost answer.
 * - `balance`: a worker with fewer shards asked for it. `ordered`: an operator ordered it. `leaving`: its owner stopped.
 * - `requested`, `recordFailed`, `processorFailed`, `unreadable`, `halted`: its owner gave it up, as `shard_stopped` tells.
 * - `refused`: it was given to a worker that does not process it. `rewound`: an operator set its checkpoint. `ended`: every record
 *   of it is finished.
 */
export type MoveReason =
  | "free"
  | "ownerDead"
  | "ownRow"
  | "balance"
  | "ordered"
  | "leaving"
  | "requested"
  | "recordFailed"
  | "processorFailed"
  | "unreadable"
  | "halted"
  | "refused"
  | "rewound"
  | "ended";

/** Whether the whole cluster is to process a shard, as an operator says. */
export interface ShardOrder {
  /** `stop`: no worker processes it, until another order. `start`: whatever stopped it before is void. */
  readonly kind: "stop" | "start";
  /** Tells one order from the next. */
  readonly id: string;
  /** When it was given, by the operator's clock, in milliseconds since the epoch. For people only. */
  readonly at: number;
}

/** A worker's wish to take a shard over from its owner. */
export interface HandoverRequest {
  /** The worker that asks. */
  readonly to: string;
  /** Tells one request from the next, so that only the one that was seen is answered or cleared. */
  readonly id: string;
  /** Whether an operator wants it, so that it is granted whatever the loads are. */
  readonly isOrder?: boolean;
  /** When it was asked for, by the clock of whoever asked, in milliseconds since the epoch. For people only. */
  readonly at?: number;
}

/** A worker that says that it is alive. */
export interface WorkerRow {
  /** Tells the kinds of rows apart. */
  readonly kind: "worker";
  /** The worker id. */
  readonly id: string;
  /** A new one at every start of the process, so that two processes with one worker id are told apart. */
  readonly incarnation: string;
  /** Counts the heartbeats; a worker whose beat stands still for `heartbeatTimeout` is dead. */
  readonly beat: number;
  /** When the last heartbeat was written, by the worker's own clock. For people only, never compared. */
  readonly beatAt: number;
  /** The time after which this worker gives up its shards by itself if no heartbeat was acknowledged. */
  readonly heartbeatTimeout: number;
  /** Another worker puts a new value here to say "read your shards now"; absent until the first time. */
  readonly attention: string | null;
  /** How many shards the worker has. */
  readonly shards: number;
  /** Whether the worker is stopping and wants no more shards. */
  readonly isDraining: boolean;
  /** The version of this software that the worker runs. */
  readonly version: string;
}

/** The stream as a whole: one row, written by the first worker that ever starts. */
export interface StreamRow {
  /** Tells the kinds of rows apart. */
  readonly kind: "stream";
  /** The name of the stream. */
  readonly id: string;
  /** Where every shard of the stream begins; `LATEST` was made a timestamp when the row was written. */
  readonly startAt: Checkpoint;
}

/** A row of the state table. */
export type Row = ShardRow | WorkerRow | StreamRow;

/** The fields of a row that a change may name. */
export type RowFields<R extends Row> = Partial<Omit<R, "kind" | "id">>;

/** One compare-and-set on one row. */
export interface RowChange<R extends Row> {
  /** The kind of the row. */
  readonly kind: R["kind"];
  /** The id of the row. */
  readonly id: string;
  /**
   * What must hold for the change to be made: each field that is named has this value, where null means that it is
   * absent. `"no row"`: the row must not exist.
   */
  readonly expect: RowFields<R> | "no row";
  /** The fields to write, where null removes one. `"delete"`: the row is removed. */
  readonly set: RowFields<R> | "delete";
}

/** A change of a shard row. */
export type LeaseChange = RowChange<ShardRow>;

/** Who makes a move: the worker and its incarnation. */
export interface Claimant {
  readonly workerId: string;
  readonly incarnation: string;
}

/** Whether all records of the shard are finished for good. */
export function isEnded(row: ShardRow): boolean {
  return row.checkpoint.kind === "shardEnd";
}

/** Whether an operator stopped the shard for the whole cluster. */
export function isHalted(row: ShardRow): boolean {
  return row.order?.kind === "stop";
}

/** Whether this very process took the shard, in the term that the row shows. */
export function isHeldBy(row: ShardRow, claimant: Claimant): boolean {
  return row.owner === claimant.workerId && row.holder === claimant.incarnation;
}

/** Takes a shard that is free, given to the claimant, or left behind by a dead worker. */
export function claim(row: ShardRow, claimant: Claimant): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    // An order that was given meanwhile is to be seen first.
    expect: { term: row.term, order: row.order },
    set: {
      owner: claimant.workerId,
      holder: claimant.incarnation,
      previousOwner: isGivenTo(row, claimant.workerId) ? row.previousOwner : row.owner,
      term: row.term + 1,
      because: claimReason(row, claimant.workerId),
      handover: null,
      stoppedBy: row.stoppedBy.filter((workerId) => workerId !== claimant.workerId),
    },
  };
}

/** What a checkpoint carries. */
export interface Progress {
  readonly checkpoint: Checkpoint;
  readonly checkpointAt: number;
  readonly millisBehindLatest: number;
  /** What the processor keeps for the shard, if that is another one than in the row. */
  readonly state?: string | null;
}

/**
 * Moves the checkpoint of a held shard on. It expects the checkpoint that was last seen, so that a write that was
 * delayed on its way cannot bring an older one back.
 */
export function advance(row: ShardRow, progress: Progress): LeaseChange {
  // A change of the state alone leaves the checkpoint as it is; what was written before it is known by its time.
  const last = progress.state === undefined ? {} : { checkpointAt: row.checkpointAt };
  return { kind: "shard", id: row.id, expect: { ...held(row), ...last }, set: { ...progress } };
}

/** What else to write when a shard is given up. */
export interface PartingOptions {
  /**
   * Why, unless it is answered or obeyed.
   *
   * @default {"leaving"}
   */
  readonly because?: MoveReason;
  /** This worker will not take the shard again by itself. */
  readonly stoppedBy?: string;
  /** The workers whose names are worth keeping beside it. */
  readonly alive?: ReadonlySet<string>;
  /** The request that is answered; the shard stays if the request was taken back meanwhile. */
  readonly answers?: HandoverRequest;
  /** The order that is obeyed; the shard stays if there is another one meanwhile. */
  readonly obeys?: ShardOrder;
}

/** Gives a held shard to another worker, in one write with the last checkpoint. */
export function give(
  row: ShardRow,
  to: string | null,
  progress: Progress,
  options: PartingOptions = {},
): LeaseChange {
  const stoppedBy = options.stoppedBy === undefined
    ? {}
    : { stoppedBy: withWorker(row.stoppedBy, options.stoppedBy, options.alive) };
  return {
    kind: "shard",
    id: row.id,
    expect: {
      ...held(row),
      ...options.answers !== undefined && { handover: options.answers },
      ...options.obeys !== undefined && { order: options.obeys },
    },
    set: {
      ...progress,
      ...stoppedBy,
      owner: to,
      holder: null,
      previousOwner: row.owner,
      term: row.term + 1,
      because: partingReason(options),
      handover: null,
    },
  };
}

/** Gives a shard that nobody works on to a worker: it is free, or was given to another one that has not taken it yet. */
export function passOn(row: ShardRow, to: string, because: MoveReason): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { owner: row.owner, holder: null, term: row.term },
    set: { owner: to, term: row.term + 1, because },
  };
}

/** Frees a held shard, in one write with the last checkpoint. */
export function release(row: ShardRow, progress: Progress, options?: PartingOptions): LeaseChange {
  return give(row, null, progress, options);
}

/** Marks a held shard as finished for good and frees it. */
export function end(row: ShardRow, at: Omit<Progress, "checkpoint">): LeaseChange {
  return release(row, { ...at, checkpoint: SHARD_END }, { because: "ended" });
}

/** Asks the owner of a shard for it. */
export function requestHandover(row: ShardRow, request: HandoverRequest): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { owner: row.owner, term: row.term, handover: null },
    set: { handover: request },
  };
}

/** Takes back a request that expired, or whose worker is gone. */
export function clearHandover(row: ShardRow): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { term: row.term, handover: row.handover },
    set: { handover: null },
  };
}

/** Writes down that a worker will not process a shard that it does not hold; frees it if it was given to that worker. */
export function refuse(
  row: ShardRow,
  workerId: string,
  alive?: ReadonlySet<string>,
): LeaseChange {
  const stoppedBy = withWorker(row.stoppedBy, workerId, alive);
  return {
    kind: "shard",
    id: row.id,
    expect: { term: row.term, owner: row.owner, order: row.order },
    set: row.owner === null ? { stoppedBy } : {
      stoppedBy,
      owner: null,
      holder: null,
      previousOwner: row.owner,
      term: row.term + 1,
      because: "refused",
    },
  };
}

/** Removes the row of a shard that is finished and has left the stream. */
export function forget(row: ShardRow): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { term: row.term, checkpoint: SHARD_END },
    set: "delete",
  };
}

/** What the row of a shard looks like before anybody took it. */
export function newShardRow(
  shard: Pick<ShardRow, "id" | "parents" | "hashKeyRange">,
  startAt: Checkpoint,
): ShardRow {
  return {
    kind: "shard",
    id: shard.id,
    owner: null,
    holder: null,
    previousOwner: null,
    term: 0,
    checkpoint: startAt,
    checkpointAt: null,
    millisBehindLatest: null,
    parents: shard.parents,
    hashKeyRange: shard.hashKeyRange,
    stoppedBy: [],
    handover: null,
    because: null,
    order: null,
    state: null,
  };
}

/** Writes a row that must not exist yet. */
export function create<R extends Row>(row: R): RowChange<R> {
  const { kind, id, ...fields } = row;
  return { kind, id, expect: "no row", set: fields as unknown as RowFields<R> };
}

function claimReason(row: ShardRow, claimant: string): MoveReason | null {
  if (isGivenTo(row, claimant)) return row.because;
  if (row.owner === null) return "free";
  return row.owner === claimant ? "ownRow" : "ownerDead";
}

function partingReason({ answers, obeys, because = "leaving" }: PartingOptions): MoveReason {
  if (obeys !== undefined) return "halted";
  if (answers === undefined) return because;
  return answers.isOrder ? "ordered" : "balance";
}

function isGivenTo(row: ShardRow, workerId: string): boolean {
  return row.owner === workerId && row.holder === null;
}

function held(row: ShardRow): RowFields<ShardRow> {
  return { owner: row.owner, holder: row.holder, term: row.term, checkpoint: row.checkpoint };
}

/** Names of workers that are gone are dropped: each restart may bring a new one, and a row has 400 KB. */
function withWorker(
  workers: readonly string[],
  workerId: string,
  alive?: ReadonlySet<string>,
): readonly string[] {
  const others = workers.filter((other) => other !== workerId && (alive?.has(other) ?? true));
  return [...others, workerId];
}
