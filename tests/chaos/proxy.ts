/**
 * Owns: a TCP proxy on the loopback interface that can delay, hold, cut and refuse what passes through it.
 * Must not: understand what passes; decide when something goes wrong.
 * Called by: `arena.ts`.
 *
 * What is held is not lost: when the fault ends it is passed on, late, even if the client has given up and gone. That is what
 * a network does with packets that it sends again, and what a conditional write must withstand.
 *
 * @module
 */

import net, { type AddressInfo, type Server, type Socket } from "node:net";

/** What goes wrong on the way. */
export type Fault =
  | { readonly kind: "none" }
  /** Each chunk, in both directions, takes so much longer. */
  | { readonly kind: "delay"; readonly ms: number }
  /** Connections are accepted, but nothing passes in one or both directions. */
  | { readonly kind: "hold"; readonly direction: Direction | "both" }
  /** Connections are closed as soon as they are made. Those that exist go on. */
  | { readonly kind: "refuse" };

/** `requests` go to the server; what is lost of `replies` has happened. */
export type Direction = "requests" | "replies";

/** A proxy in front of one server. */
export class Proxy implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #fault: Fault = { kind: "none" };
  #changed = Promise.withResolvers<void>();

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (client) => this.#connect(client));
  }

  /** Starts a proxy in front of a server on this machine. */
  static async start(target: string): Promise<Proxy> {
    const server = net.createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Proxy(server, Number(new URL(target).port));
  }

  /** Changes what goes wrong, for connections old and new. */
  set(fault: Fault): void {
    this.#fault = fault;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Breaks every connection that there is. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.set({ kind: "none" });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #connect(client: Socket): void {
    if (this.#fault.kind === "refuse") {
      client.on("error", () => {}); // What becomes of a connection that is refused does not matter.
      client.resetAndDestroy();
      return;
    }
    const server = net.connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // It ends the loop that reads it.
      socket.on("close", () => this.#sockets.delete(socket));
    }
    const passed = [this.#pass(client, server, "requests"), this.#pass(server, client, "replies")];
    void Promise.all(passed).then(() => {
      client.destroy();
      server.destroy();
    });
  }

  async #pass(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      for await (const chunk of from) {
        await this.#passage(direction);
        if (to.destroyed) return;
        to.write(chunk);
      }
      await this.#passage(direction);
      to.end();
    } catch {
      // A connection that breaks is what this is for; the other side of it must learn of it.
      to.destroy();
    }
  }

  /** Resolves when something may pass. */
  async #passage(direction: Direction): Promise<void> {
    while (
      this.#fault.kind === "hold" &&
      (this.#fault.direction === "both" || this.#fault.direction === direction)
    ) {
      await this.#changed.promise;
    }
    if (this.#fault.kind !== "delay") return;
    const { ms } = this.#fault;
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
