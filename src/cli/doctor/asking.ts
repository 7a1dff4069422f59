/**
 * Owns: making a call of AWS for the doctor: what came of it, for each permission, and AWS's own time.
 * Must not: know which calls there are.
 * Called by: `observe.ts`.
 *
 * @module
 */

import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { describeFailure, retryCall } from "../../adapters/aws_calls.ts";
import { classify, denialOf } from "../../adapters/aws_errors.ts";
import { SourceError, StoreError } from "../../errors.ts";
import type { Answer } from "./observation.ts";

/** Who is asked, and for what. */
export interface Question {
  readonly service: "Kinesis" | "DynamoDB";
  /** The permission, such as `kinesis:GetRecords`. */
  readonly action: string;
  /** Completes "Cannot ". */
  readonly task: string;
}

/** Whom it is asked by. */
export interface Clients {
  readonly kinesis: KinesisClient;
  readonly dynamoDB: DynamoDBClient;
}

/** The part of a client that clocks are read through. */
interface Listening {
  readonly middlewareStack: {
    add(
      middleware: <A, R extends { readonly response: unknown }>(
        next: (args: A) => Promise<R>,
      ) => (args: A) => Promise<R>,
      options: { readonly step: "deserialize"; readonly priority: "low"; readonly name: string },
    ): void;
  };
}

const RETRIES = 1;
/** A `Date` header tells whole seconds. */
const HALF_SECOND_MS = 500;

/** Asks AWS, and keeps what came of it. */
export class Asking {
  readonly #clients: Clients;
  readonly #signal: AbortSignal;
  readonly #answers = new Map<string, Answer<unknown>>();
  readonly #unreachable = new Map<string, string>();
  #clockAheadMs: number | null = null;

  constructor(clients: Clients, signal: AbortSignal) {
    this.#clients = clients;
    this.#signal = signal;
    for (const client of [clients.kinesis, clients.dynamoDB]) {
      this.#readClock(client as unknown as Listening);
    }
  }

  /** By how much this machine's clock is ahead of AWS's, by the answer that differs most; null without any. */
  get clockAheadMs(): number | null {
    return this.#clockAheadMs;
  }

  /** What came of a permission, on the best of its calls. */
  answerTo(action: string): Answer<unknown> {
    return this.#answers.get(action) ?? { kind: "notAsked", why: "a call before it failed" };
  }

  /** Whether a service answered at all. */
  answerOf(service: Question["service"]): Answer<unknown> {
    const message = this.#unreachable.get(service);
    if (message !== undefined) return { kind: "failed", failure: "unavailable", message };
    const prefix = `${service.toLowerCase()}:`;
    return [...this.#answers.keys()].some((action) => action.startsWith(prefix))
      ? { kind: "answered", value: undefined }
      : { kind: "notAsked", why: "a call before it failed" };
  }

  /** Makes a call. A service that cannot be reached is not asked again. */
  async ask<T>(question: Question, call: () => Promise<T>): Promise<Answer<T>> {
    const { service, action } = question;
    const answer: Answer<T> = this.#unreachable.has(service)
      ? { kind: "notAsked", why: `${service} cannot be reached` }
      : await this.#answer(question, call);
    if (this.#answers.get(action)?.kind !== "answered") this.#answers.set(action, answer);
    return answer;
  }

  async #answer<T>(question: Question, call: () => Promise<T>): Promise<Answer<T>> {
    const signal = this.#signal;
    try {
      return { kind: "answered", value: await retryCall(call, { retries: RETRIES, signal }) };
    } catch (error) {
      signal.throwIfAborted();
      const isOurs = error instanceof StoreError || error instanceof SourceError;
      const cause = isOurs ? error.cause ?? error : error;
      const client = question.service === "Kinesis"
        ? this.#clients.kinesis
        : this.#clients.dynamoDB;
      const described = await describeFailure(cause, { ...question, client });
      const message = isOurs ? error.message : described.message;
      const kind = isOurs ? error.kind : classify(error).kind;
      const denial = kind === "denied" ? denialOf(cause) : undefined;
      const isUnreachable = message.startsWith("Cannot reach ") || denial === "process";
      if (isUnreachable) this.#unreachable.set(question.service, message);
      switch (denial) {
        case "credentials":
        case "key":
          return { kind: "failed", failure: denial, message };
        case "process":
          return { kind: "failed", failure: "unavailable", message };
        default:
          return { kind: "failed", failure: kind, message };
      }
    }
  }

  /** Every answer says what time it is at AWS, also one that refuses. */
  #readClock(client: Listening): void {
    client.middlewareStack.add((next) => async (args) => {
      const before = Date.now();
      const result = await next(args);
      const { headers } = Object(result.response) as { headers?: Record<string, string> };
      const date = Date.parse(headers?.["date"] ?? "");
      if (!Number.isNaN(date)) {
        const aheadMs = (before + Date.now()) / 2 - (date + HALF_SECOND_MS);
        if (Math.abs(aheadMs) >= Math.abs(this.#clockAheadMs ?? 0)) this.#clockAheadMs = aheadMs;
      }
      return result;
    }, { step: "deserialize", priority: "low", name: "doctorClock" });
  }
}
