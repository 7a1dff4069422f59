/**
 * Owns: what a seed stands for: how many workers and shards, which settings, which faults and how often.
 * Must not: run anything.
 * Called by: `simulation.ts`, `run.ts`.
 *
 * Each kind of fault is missing from half of the seeds, so that one kind does not hide what another one shows.
 *
 * @module
 */

import type { ReactoKinesixConfig } from "../../src/core/config.ts";
import type { Delivery } from "./checker.ts";
import { drawSinks } from "./sim_sink.ts";
import { drawWindows } from "./sim_windows.ts";
import { drawStorm } from "./storm.ts";
import { Prng } from "./world.ts";

/** How often calls go wrong; probabilities, unless said otherwise. */
export interface CallFaults {
  /** Milliseconds one way. */
  readonly latencyMin: number;
  readonly latencyMax: number;
  /** Of a latency of up to twice the time-out of a call. */
  readonly slow: number;
  readonly requestLost: number;
  readonly replyLost: number;
  /** Of a write that is applied when its sender has given it up. */
  readonly delayed: number;
  /** Of a write that arrives once more, later. */
  readonly twice: number;
  readonly throttled: number;
  readonly serverError: number;
}

/** What goes wrong with calls when nothing does; how long they take is for the caller to say. */
export const NO_FAULTS: Omit<CallFaults, "latencyMin" | "latencyMax"> = {
  slow: 0,
  requestLost: 0,
  replyLost: 0,
  delayed: 0,
  twice: 0,
  throttled: 0,
  serverError: 0,
};

/** How often things happen to processes and the stream: the mean time between two, in milliseconds; 0 is never. */
export interface Happenings {
  readonly crash: number;
  readonly pause: number;
  readonly partition: number;
  readonly stop: number;
  readonly join: number;
  /** A process is started under the id of one that runs. */
  readonly twin: number;
  readonly split: number;
  readonly merge: number;
  /** Several splits and merges within seconds. */
  readonly burst: number;
  /** The wall clock of a process is set back or forward. */
  readonly clockJump: number;
  /** Somebody stops a shard, starts it again, or changes the processor. */
  readonly operator: number;
  /** The whole table answers nothing for a while. */
  readonly outage: number;
  /** An operator gives an order to the whole cluster. */
  readonly order: number;
}

/** What a user's processor does in a directed case. Whatever throws is thrown at the worker. */
export interface Behaviour {
  /** How long an attempt takes; `Infinity` hangs. Undefined is left to chance. */
  readonly workMs?: (delivery: Delivery) => number | undefined;
  /** Whether an attempt fails. Undefined is left to chance. */
  readonly fails?: (delivery: Delivery) => boolean | undefined;
  /** Is called for each shard that the factory makes a processor for. */
  readonly onMake?: (shardId: string) => void;
  readonly onMaxRetryExceeded?: () => void;
}

/** How the users' processors behave. */
export interface ProcessorHabits {
  readonly kind: "record" | "batch" | "factory";
  readonly workMsMax: number;
  /** Probability that a record takes long, and how long. */
  readonly slow: number;
  readonly slowMsMax: number;
  readonly throws: number;
  /** Probability that a batch that fails does not throw, but says which records failed. */
  readonly partial: number;
  /** Whether loops ask for the records, instead of being called: `none`, `auto` or `manual` is how they say what is finished. */
  readonly pulled: "none" | "auto" | "manual";
  /** Whether each record writes an item together with the checkpoint. */
  readonly sinks: boolean;
  /** How often that is done by a `dynamoSink`; every change of the processor draws anew. */
  readonly packed: number;
  readonly mode: { readonly kind: "retryAndSkip" | "retryAndStop"; readonly retries: number };
  /** How long the windows are that are kept beside, in milliseconds; 0 for none. */
  readonly windows: number;
  /** What a directed case has instead of chance. */
  readonly behaviour?: Behaviour;
}

/** Everything that a seed decides. */
export interface Scenario {
  readonly seed: number;
  readonly workers: number;
  readonly shards: number;
  readonly shardsMax: number;
  readonly keys: number;
  readonly recordsPerSecond: number;
  /** Probability that several records are put as one aggregate. */
  readonly aggregated: number;
  readonly safetyMs: number;
  readonly calmMs: number;
  readonly config: ReactoKinesixConfig;
  /** Nothing but crashes, stops, joins and resharding happens, so that the tight bounds hold. */
  readonly isGentle: boolean;
  /** The most that a clock runs too fast or too slow, as a fraction. */
  readonly driftMax: number;
  /** After how long a call without an answer fails at its sender. */
  readonly callTimeoutMs: number;
  readonly store: CallFaults;
  readonly source: CallFaults;
  /** How old a list of shards may be, in milliseconds. */
  readonly staleListMs: number;
  /** Whether a list of rows is read in two parts at two moments. */
  readonly hasTornLists: boolean;
  /** Whether the end of a shard names its children. */
  readonly hasChildren: boolean;
  /** How long records are kept, in milliseconds. */
  readonly retentionMs: number;
  /** For how long the table is not there yet, or still being created, in milliseconds. */
  readonly tableReadyMs: number;
  /** How long an iterator may be used, in milliseconds. */
  readonly iteratorMs: number;
  /** Whether the monotonic clock of a process that stands still does so too, as on a suspended machine. */
  readonly isSuspended: boolean;
  /** The payload of each record, in bytes. */
  readonly recordBytes: number;
  /** Whether records that are given up go into a failure destination, which fails now and then. */
  readonly hasDestination: boolean;
  readonly happenings: Happenings;
  readonly processor: ProcessorHabits;
  /** Part of the records that the app's filter leaves out. */
  readonly filtered: number;
}

const MINUTE = 60_000;
/** How many seeds have more than ten workers, who look at each other in turns. */
const LARGE_FLEET = 0.05;
/** In how many seeds records take so long that requests for their shards expire, while workers join. */
const STUCK = 0.08;
/** In how many seeds shards are split and merged all the time, faster than anybody looks. */
const RESHARDY = 0.12;
/** In how many seeds namesakes start all the time while replies are lost. */
const TWINNED = 0.08;
/** In how many seeds there is room in memory for few of the records that come. */
const CRAMPED = 0.15;
const CRAMPED_RECORD_BYTES = 50_000;
/** Iterators expire after 5 minutes: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html */
const ITERATOR_MS = 5 * MINUTE;

/** What a seed stands for. */
export function makeScenario(seed: number): Scenario {
  const random = new Prng(seed);
  const isGentle = random.chance(0.25);
  const isDefault = random.chance(isGentle ? 0.5 : 0.1);
  const config = isDefault ? {} : drawConfig(random.fork());
  const {
    heartbeat = 30_000,
    loadBalanceFrequency = 180_000,
    checkStreamChangesFrequency = 60_000,
  } = config;
  const shards = random.whole(1, random.chance(0.5) ? 4 : 12);
  const hasTrim = !isGentle && random.chance(0.2);
  const isStuck = random.chance(STUCK);
  const isReshardy = !isGentle && random.chance(RESHARDY);
  const hasClockJumps = !isGentle && random.chance(0.3);
  const scenario: Scenario = {
    seed,
    filtered: 0,
    workers: random.chance(LARGE_FLEET) ? random.whole(10, 14) : random.whole(1, isGentle ? 8 : 6),
    shards,
    shardsMax: shards + (isReshardy ? 80 : random.whole(0, random.chance(0.2) ? 40 : 12)),
    keys: random.whole(1, 40),
    recordsPerSecond: random.between(0.2, 8),
    // A chance of its own, so that the rest of a seed is as it was before there were aggregates.
    aggregated: new Prng(~seed).pick([0, 0, 0.1, 0.5]),
    safetyMs: isDefault ? 20 * MINUTE : random.between(5, 20) * MINUTE,
    calmMs: Math.min(60 * MINUTE, 12 * loadBalanceFrequency),
    config,
    isGentle,
    driftMax: random.pick([0, 0.0001, 0.01, 0.03]),
    callTimeoutMs: random.pick([1_000, 3_000, 10_000]),
    store: drawCallFaults(random.fork(), isGentle),
    source: drawCallFaults(random.fork(), isGentle),
    staleListMs: isGentle || random.chance(0.5)
      ? 0
      : random.between(100, Math.min(10_000, checkStreamChangesFrequency * 0.8)),
    hasTornLists: !isGentle && random.chance(isReshardy ? 0.9 : 0.5),
    hasChildren: random.chance(0.7),
    retentionMs: hasTrim ? random.between(0.5, 6) * MINUTE : 24 * 60 * MINUTE,
    tableReadyMs: random.chance(0.3) ? random.between(500, 90_000) : 0,
    iteratorMs: isGentle || random.chance(0.7) ? ITERATOR_MS : random.between(1_000, MINUTE),
    // Set back while it is suspended, a machine could not know how long it slept.
    isSuspended: !hasClockJumps && random.chance(0.5),
    recordBytes: 8,
    // A chance of its own: what other seeds mean does not depend on it.
    hasDestination: new Prng(~seed).chance(0.5),
    happenings: drawHappenings(random.fork(), {
      isGentle,
      heartbeat,
      hasClockJumps,
      isStuck,
      isReshardy,
    }),
    processor: drawProcessor(random.fork(), { isGentle, heartbeat, isStuck }),
  };
  const withLanes = { ...scenario, config: { ...config, ...drawLanes(random.fork(), config) } };
  const lanes = drawStorm(drawWindows(drawSinks(drawBatches(withLanes))));
  if (isGentle) return lanes;
  // A chance of its own, too.
  if (new Prng(seed ^ 0x5bd1e995).chance(CRAMPED)) {
    return {
      ...lanes,
      recordBytes: CRAMPED_RECORD_BYTES,
      // The checker of memory counts records, all of one size.
      aggregated: 0,
      config: { ...lanes.config, maxBufferedBytes: 2 ** 20 },
    };
  }
  if (!random.chance(TWINNED)) return lanes;
  // A namesake starts while it is open what became of a write: then whose row it is counts, not what it says.
  const { store, happenings } = lanes;
  return {
    ...lanes,
    store: { ...store, replyLost: 0.15 },
    happenings: { ...happenings, twin: 15_000, crash: 0, pause: 0, partition: 0 },
  };
}

/** Settings in the proportions of the defaults, on a shorter scale. */
function drawConfig(random: Prng): ReactoKinesixConfig {
  const heartbeat = Math.round(random.between(1_000, random.chance(0.5) ? 5_000 : 30_000));
  const heartbeatTimeout = Math.round(heartbeat * random.between(2, 6));
  const checkpointMode = random.chance(0.15) ? "manual" : "auto";
  // Who relies on looking from time to time where there is news is found out by those who seldom look.
  const lookMax = random.chance(0.3) ? 12 : 3;
  const checkPendingHandoverRequestFrequency = Math.round(heartbeat * random.between(1, lookMax));
  return {
    heartbeat,
    heartbeatTimeout,
    checkPendingHandoverRequestFrequency,
    emptyReceiveDelay: Math.round(random.between(200, 3_000)),
    checkStreamChangesFrequency: Math.round(heartbeat * random.between(1, lookMax + 1)),
    checkUnprocessedShardsFrequency: Math.round(heartbeat * random.between(1, lookMax)),
    loadBalanceFrequency: Math.round(heartbeat * random.between(2, 8)),
    handoverRequestExpiry: heartbeatTimeout + checkPendingHandoverRequestFrequency +
      (random.chance(0.5) ? 0 : Math.round(heartbeat * random.between(0, 10))),
    maxBatchSize: random.pick([1, 3, 20, 1_000]),
    checkpointFrequency: random.pick([0, 200, 1_000, 5_000]),
    shutdownTimeout: Math.round(random.between(2_000, 30_000)),
    maxDynamoDBRetries: random.whole(0, 3),
    maxKinesisRetries: random.whole(0, 3),
    // Who waits for a checkpoint in a processor needs more time than lies between two of them.
    processTimeout: checkpointMode === "auto" && random.chance(0.25)
      ? Math.round(random.between(500, 2 * heartbeat))
      : 0,
    initialPosition: random.pick(["TRIM_HORIZON", "TRIM_HORIZON", "LATEST"]),
    checkpointMode,
  };
}

/** In a quarter of the seeds several records of a shard are processed at once. */
function drawLanes(random: Prng, { checkpointMode }: ReactoKinesixConfig): ReactoKinesixConfig {
  if (!random.chance(0.25) || checkpointMode === "manual") return {};
  return {
    concurrency: random.pick([2, 3, 16]),
    orderBy: random.chance(0.2) ? "none" : "partitionKey",
  };
}

/** What was added later is drawn by itself: so the other seeds mean what they meant. */
function drawBatches(scenario: Scenario): Scenario {
  const random = new Prng(scenario.seed ^ 0x5bd1e995);
  const { config, processor, isGentle } = scenario;
  const isBatch = processor.kind === "batch";
  const heartbeat = config.heartbeat ?? 30_000;
  const batches: ReactoKinesixConfig = {
    bisectBatchOnError: random.chance(0.5),
    batchSize: random.pick([2, 5, 100, 10_000]),
    maxBatchSize: random.pick([3, 20, 1_000]),
    batchWindow: random.chance(0.4) ? Math.round(random.between(100, 2 * heartbeat)) : 0,
  };
  const maxRecordAge = Math.round(random.between(0.2, 10) * MINUTE);
  const loops = new Prng(scenario.seed ^ 0x2545f491);
  const pulled = loops.chance(0.15) ? loops.pick(["auto", "manual"] as const) : "none";
  return {
    ...scenario,
    // Of batches of one record there is nothing to be learnt.
    recordsPerSecond: isBatch
      ? Math.max(scenario.recordsPerSecond, random.between(2, 8))
      : scenario.recordsPerSecond,
    config: {
      ...config,
      ...isBatch && batches,
      ...!isGentle && random.chance(0.2) && { maxRecordAge },
    },
    processor: {
      ...processor,
      partial: isBatch && random.chance(0.6) ? random.between(0.3, 1) : 0,
      throws: isBatch && !isGentle && random.chance(0.7)
        ? random.between(0.05, 0.4)
        : processor.throws,
      pulled,
    },
    filtered: random.chance(0.2) ? random.between(0.1, 0.9) : 0,
  };
}

function drawCallFaults(random: Prng, isGentle: boolean): CallFaults {
  const sometimes = (max: number): number =>
    isGentle || random.chance(0.5) ? 0 : random.next() ** 2 * max;
  const latencyMin = random.between(1, 10);
  return {
    latencyMin,
    latencyMax: latencyMin + random.between(1, isGentle ? 30 : 200),
    slow: sometimes(0.1),
    requestLost: sometimes(0.2),
    replyLost: sometimes(0.2),
    delayed: sometimes(0.2),
    twice: sometimes(0.2),
    throttled: sometimes(0.3),
    serverError: sometimes(0.2),
  };
}

function drawHappenings(
  random: Prng,
  options: {
    readonly isGentle: boolean;
    readonly heartbeat: number;
    readonly hasClockJumps: boolean;
    readonly isStuck: boolean;
    readonly isReshardy: boolean;
  },
): Happenings {
  const { isGentle, heartbeat, hasClockJumps, isStuck, isReshardy } = options;
  const every = (min: number, max: number): number =>
    random.chance(0.5) ? 0 : random.between(min, max);
  const harsh = (min: number, max: number): number => isGentle ? 0 : every(min, max);
  const scale = Math.max(20_000, heartbeat * 5);
  const reshard = random.chance(0.2) ? 4_000 : scale;
  return {
    crash: every(scale, 10 * scale),
    pause: harsh(scale, 10 * scale),
    partition: harsh(scale, 10 * scale),
    stop: every(scale, 10 * scale),
    join: isStuck ? random.between(scale, 4 * scale) : every(2 * scale, 10 * scale),
    twin: harsh(random.chance(0.3) ? 5_000 : 3 * scale, 10 * scale),
    split: every(reshard, 10 * reshard),
    merge: every(reshard, 10 * reshard),
    burst: isReshardy
      ? random.between(2_000, scale)
      : random.chance(0.6)
      ? 0
      : random.between(scale, 10 * scale),
    clockJump: hasClockJumps ? random.between(scale, 10 * scale) : 0,
    operator: harsh(scale, 10 * scale),
    outage: harsh(2 * scale, 10 * scale),
    order: every(scale, 10 * scale),
  };
}

function drawProcessor(
  random: Prng,
  options: {
    readonly isGentle: boolean;
    readonly heartbeat: number;
    readonly isStuck: boolean;
  },
): ProcessorHabits {
  const { isGentle, heartbeat, isStuck } = options;
  const isSlow = isStuck || random.chance(0.4);
  const throws = isGentle || random.chance(0.5) ? 0 : random.next() ** 2 * 0.3;
  return {
    kind: random.pick(["record", "record", "batch", "factory"]),
    workMsMax: random.pick([0, 20, 60]),
    slow: isStuck ? random.between(0.01, 0.04) : isSlow ? random.between(0.001, 0.02) : 0,
    slowMsMax: isStuck
      ? random.between(60, 120) * heartbeat
      : random.between(1_000, random.chance(0.4) ? 60 * heartbeat : 4 * heartbeat),
    throws,
    mode: {
      kind: random.chance(0.7) ? "retryAndSkip" : "retryAndStop",
      retries: random.whole(0, 3),
    },
    ...{ partial: 0, pulled: "none", sinks: false, packed: 0, windows: 0 },
  };
}
