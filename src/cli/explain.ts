/**
 * Owns: `kinesix explain`: a shard in words, and as JSON.
 * Must not: find out anything by itself; `core/explain.ts` does.
 * Called by: `commands/watch_commands.ts`.
 *
 * @module
 */

import { ReactoKinesixApp } from "../app.ts";
import { explainShard, type ShardExplanation, type WorkerStance } from "../core/explain.ts";
import type { MoveReason } from "../core/lease.ts";
import { connection } from "./connection.ts";
import { count, shortPosition } from "./event_text.ts";
import { patiently } from "./patience.ts";
import { shardIdOf } from "./shard.ts";
import { jsonText, printableLine, type Terminal, wantsColor } from "./terminal.ts";
import type { Values } from "./values.ts";
import { ago, inTime, shortShard, spanText } from "./words.ts";

/** Explains a shard. */
export async function explain(values: Values, terminal: Terminal): Promise<number> {
  const [appName, streamName] = [values.need("app"), values.need("stream")];
  await using control = await ReactoKinesixApp.control({
    ...connection(values, terminal, ["dynamodb"]),
    ...{ appName, streamName, config: values.config },
  });
  const shardId = shardIdOf(values.argument("SHARD") ?? "");
  // The workers last, as the workers themselves do, so that whoever owns a shard is known.
  const wait = { values, terminal, services: ["dynamodb"] } as const;
  const shards = await patiently(control.shards(), wait);
  const workers = await control.workers();
  const shard = explainShard(shardId, { shards, workers, now: Date.now() });
  if (shard === undefined) {
    throw new RangeError(
      `Cannot explain shard "${shardId}": the state table has no shard of that name; ` +
        `the workers of app "${appName}" have not seen it in stream "${streamName}", or it left the stream`,
    );
  }
  if (values.isOn("json")) {
    await terminal.write(`${jsonText(shard)}\n`);
    return 0;
  }
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  // What the rows hold is made harmless before it is coloured: colours would be taken for it afterwards.
  const head = `${paint.bold(printableLine(shardId))} of ${appName} on stream ${streamName}: ` +
    paint.bold(printableLine(nextText(shard)));
  const rows = [...factsOf(shard), ...shard.workers.map(workerFact)];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, text]) =>
    `  ${paint.dim(printableLine(name.padEnd(width)))}  ${printableLine(text)}`
  );
  await terminal.write([head, ...lines, ""].join("\n"));
  return 0;
}

type Fact = readonly [name: string, text: string];

/** What the row says, one thing after the other. */
function factsOf(shard: ShardExplanation): readonly Fact[] {
  const { owner, isTaken, term, previousOwner, because, request, order, stoppedBy } = shard;
  const taken = isTaken ? "" : ", which has not taken it yet";
  return [
    ["owner", `${owner === null ? "nobody" : owner + taken}, term ${term}`],
    ...because === null ? [] : [fact("last move", moveText(because, shard))],
    ...previousOwner === null || previousOwner === owner ? [] : [fact("before", previousOwner)],
    ["checkpoint", checkpointText(shard)],
    ...shard.parents.map((parent) => fact("parent", parentText(parent))),
    ...shard.children.map((child) => fact("child", shortShard(child))),
    ...request === null ? [] : [fact("request", requestText(request, owner))],
    ...order === null ? [] : [fact(
      "order",
      order.kind === "stop"
        ? `an operator stopped it ${ago(order.at)}; kinesix shard start undoes that`
        : `an operator started it ${ago(order.at)}: what had stopped it before is void`,
    )],
    ...stoppedBy.length === 0 ? [] : [fact("stopped by", stoppedBy.join(", "))],
  ];
}

function fact(name: string, text: string): Fact {
  return [name, text];
}

/** What happens with the shard, and what follows. */
function nextText(shard: ShardExplanation): string {
  const { situation, owner, request, workers } = shard;
  switch (situation) {
    case "finished":
      return "every record of it is finished";
    case "stoppedByOperator":
      return owner === null
        ? "stopped by an operator; no worker takes it until it is started"
        : `stopped by an operator; ${owner} gives it up when its record in hand is finished`;
    case "waitsForParents": {
      const open = shard.parents.filter(({ isFinished }) => !isFinished);
      return `waits until ${open.map(({ shardId }) => shortShard(shardId)).join(" and ")} ${
        open.length === 1 ? "is" : "are"
      } finished, so that keys stay in order`;
    }
    case "noWorkers":
      return "nobody processes it: no worker is alive";
    case "stoppedEverywhere":
      return "nobody processes it: every worker that is alive has stopped it; start it again once " +
        "the cause is mended";
    case "ownerSilent":
      return `${owner} shows no heartbeat; ${
        takerText(workers)
      } when it has watched that for as long ` +
        "as the owner's heartbeatTimeout";
    case "free":
      return `nobody has it; ${takerText(workers)} at its next look`;
    case "given":
      return `given to ${owner}, which takes it at its next look`;
    case "requested":
      return `processed by ${owner}, which ${
        request?.isGranted ? "gives it to" : "declines the request of"
      } ${request?.to} at its next look`;
    case "processed": {
      const [at] = workers.flatMap(({ workerId, givenUpAt }) =>
        workerId === owner && givenUpAt !== null ? [givenUpAt] : []
      );
      return `processed by ${owner}` +
        (at === undefined ? "" : `, whose heartbeat is late; without one ` +
          `others may take it ${inTime(at)}`);
    }
    default:
      return situation satisfies never;
  }
}

function takerText(workers: ShardExplanation["workers"]): string {
  const taker = workers.find(({ stance }) => stance === "takes");
  return taker === undefined ? "some worker takes it" : `${taker.workerId} takes it`;
}

function moveText(because: MoveReason, { owner, previousOwner }: ShardExplanation): string {
  const [now, before] = [owner ?? "nobody", previousOwner ?? "another worker"];
  const texts: { readonly [R in MoveReason]: string } = {
    free: `nobody had it, so ${now} took it`,
    ownerDead: `${before} showed no heartbeat, so ${now} took it`,
    ownRow: `${now} took it again, after a restart or a lost answer`,
    balance: `${now} had fewer shards than ${before}, and asked for it`,
    ordered: `an operator ordered it from ${before} to ${now}`,
    leaving: `${before} stopped, and gave it up`,
    requested: `${before} was told to stop it (stopProcessing)`,
    recordFailed: `${before} gave it up: a record kept failing (retryAndStop)`,
    processorFailed: `${before} gave it up: its processor could not be made, or failed at the end`,
    unreadable: `${before} gave it up: it could not be read for too long`,
    halted: `${before} gave it up, as an operator had ordered`,
    refused: `it was given to ${before}, which has stopped it`,
    rewound: "an operator set its checkpoint",
    ended: "every record of it is finished",
  };
  // A later version may know more of them.
  return Object.hasOwn(texts, because) ? texts[because] : because;
}

function checkpointText(
  { checkpoint, checkpointAt, millisBehindLatest }: ShardExplanation,
): string {
  const written = checkpointAt === null ? ", as it was made" : `, written ${ago(checkpointAt)}`;
  const behind = millisBehindLatest === null
    ? ""
    : `, then ${spanText(millisBehindLatest)} behind the tip`;
  return shortPosition(checkpoint) + written + behind;
}

function parentText(
  { shardId, isFinished, state, owner }: ShardExplanation["parents"][number],
): string {
  if (state === null) return `${shortShard(shardId)}: finished, and gone from the table`;
  if (isFinished) return `${shortShard(shardId)}: finished`;
  return `${shortShard(shardId)}: not finished, ${state}${owner === null ? "" : ` by ${owner}`}`;
}

function requestText(
  { to, isOrder, isGranted }: NonNullable<ShardExplanation["request"]>,
  owner: string | null,
): string {
  const who = isOrder ? `an operator asks for it in the name of ${to}` : `${to} asks for it`;
  return `${who}; by what the rows say ${owner} ${isGranted ? "grants" : "declines"} that`;
}

const STANCES: { readonly [S in WorkerStance]: string } = {
  has: "has it",
  takes: "would take it",
  asks: "has at least 2 shards fewer than the owner: may ask for it, or for another one",
  leavesIt: "leaves it to others",
  hasStopped: "has stopped it, and does not take it until it is told to",
  isStopping: "is stopping, and takes no shards",
  isDead: "is dead, as far as can be told from here",
};

function workerFact(
  { workerId, stance, shards, lastHeartbeatAt }: ShardExplanation["workers"][number],
): Fact {
  const about = `${count(shards, "shard")}, heartbeat ${ago(lastHeartbeatAt)}`;
  return [`worker ${workerId}`, `${STANCES[stance]} (${about})`];
}
