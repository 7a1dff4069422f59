/**
 * Owns: the orders that a page gives: stop, start or hand over a shard, look for a new version of the processor.
 * Must not: decide who may; `router.ts` has asked for the token.
 * Called by: `dashboard.ts`.
 *
 * @module
 */

import { StoreError } from "../../errors.ts";
import type { ClusterControl } from "../../runtime/cluster_control.ts";
import { type HttpRequest, problem, type Route } from "../http/router.ts";

/** Who carries orders out. */
export interface OrderOptions {
  readonly control: () => Promise<ClusterControl>;
  /** Undefined: nobody looks for versions. */
  readonly lookForProcessor: (() => void) | undefined;
  /** Is told each order that was given, in words, before it is known what comes of it. */
  readonly onOrder: (order: string) => void;
  /** Is called when an order was carried out, or refused. */
  readonly onOutcome: () => void;
}

/** The worker whose page waits must not wait for a table that does not answer. */
const ORDER_MS_MAX = 10_000;

/** What is given may be wrong, but not long. */
const TEXT_CHARACTERS_MAX = 200;

/** The routes: all of them change state. */
export function orderRoutes(options: OrderOptions): readonly Route[] {
  const order = (
    name: string,
    give: (control: ClusterControl, shardId: string, request: HttpRequest) => Promise<string>,
  ): Route => ({
    path: `/dashboard/shards/${name}`,
    method: "POST",
    handle: async (request) => {
      const shardId = textOf(request, "shardId");
      if (shardId === undefined) return missing("shardId");
      options.onOrder(
        `${name} ${shardId}${name === "handover" ? ` to ${textOf(request, "to")}` : ""}`,
      );
      return await carryOut(options, (control) => give(control, shardId, request));
    },
  });
  return [
    order("stop", async (control, shardId) => {
      await control.stop(shardId);
      return "The order to stop is given: its owner finishes the record in hand";
    }),
    order("start", async (control, shardId) => {
      await control.start(shardId);
      return "The order to start is given: a worker takes the shard";
    }),
    order("release", async (control, shardId) => {
      const to = await control.release(shardId);
      return `The order to hand over to "${to}" is given`;
    }),
    order("handover", async (control, shardId, request) => {
      const to = textOf(request, "to");
      if (to === undefined) throw new RangeError(`Cannot hand over: "to" must name a worker`);
      await control.handOver(shardId, to);
      return `The order to hand over to "${to}" is given`;
    }),
    {
      path: "/dashboard/processor/look",
      method: "POST",
      handle: () => {
        if (options.lookForProcessor === undefined) {
          return problem(409, "Cannot look: the worker was started without --watch-processor");
        }
        options.onOrder("look for a new version of the processor");
        options.lookForProcessor();
        return done("This worker looks for a new version; the events tell what comes of it");
      },
    },
  ];
}

async function carryOut(
  { control, onOutcome }: OrderOptions,
  give: (control: ClusterControl) => Promise<string>,
): Promise<Response> {
  const expired = Promise.withResolvers<Response>();
  const timer = setTimeout(() => {
    const text = "Cannot tell yet whether the order is given: the state table does not answer";
    expired.resolve(problem(504, text));
  }, ORDER_MS_MAX);
  try {
    await using cluster = await control();
    return await Promise.race([expired.promise, give(cluster).then(done)]);
  } catch (error) {
    if (error instanceof RangeError) return problem(409, error.message);
    if (error instanceof StoreError) return problem(502, error.message);
    throw error;
  } finally {
    clearTimeout(timer);
    onOutcome();
  }
}

function textOf({ body }: HttpRequest, name: string): string | undefined {
  const text = body[name];
  const isGood = typeof text === "string" && text !== "" && text.length <= TEXT_CHARACTERS_MAX;
  return isGood ? text : undefined;
}

function missing(name: string): Response {
  return problem(400, `Cannot read the request: "${name}" must be a text`);
}

function done(message: string): Response {
  return Response.json({ message });
}
