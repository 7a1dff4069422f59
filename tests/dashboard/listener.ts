/**
 * Owns: a page of the dashboard without a browser.
 * Called by: the tests of this folder.
 */

import { assert, assertEquals } from "@std/assert";
import type { Snapshot, Update } from "../../src/cli/dashboard/protocol.ts";
import { TextLineStream } from "../text_lines.ts";
import { sleep } from "./dashboard_testing.ts";

/** A page without a browser. */
export class Listener implements AsyncDisposable {
  readonly snapshots: Snapshot[] = [];
  readonly updates: Update[] = [];
  readonly ids: number[] = [];
  readonly #closing = Promise.withResolvers<undefined>();
  readonly #reading: Promise<void>;

  constructor(url: string) {
    this.#reading = this.#read(url);
  }

  async until(condition: () => boolean): Promise<void> {
    for (let waited = 0; !condition(); waited += 20) {
      assert(waited < 5_000, "waited 5 s in vain");
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.resolve(undefined);
    await this.#reading;
  }

  async #read(url: string): Promise<void> {
    const { body, headers } = await fetch(`${url}/dashboard/live`);
    assertEquals(headers.get("content-type"), "text/event-stream");
    const reader = body?.pipeThrough(new TextDecoderStream() as never)
      .pipeThrough(new TextLineStream()).getReader();
    let type = "";
    while (true) {
      const next = await Promise.race([this.#closing.promise, reader?.read()]);
      if (next === undefined || next.done) break;
      const [, name = "", value = ""] = /^(\w+): (.*)$/.exec(next.value) ?? [];
      if (name === "event") type = value;
      if (name === "id") this.ids.push(Number(value));
      if (name === "data" && type === "snapshot") this.snapshots.push(JSON.parse(value));
      if (name === "data" && type === "update") this.updates.push(JSON.parse(value));
    }
    await reader?.cancel();
  }
}
