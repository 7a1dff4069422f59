/**
 * Owns: the pages that listen: server-sent events to each, and dropping those that do not keep up.
 * Must not: know what is sent.
 * Called by: `dashboard.ts`.
 *
 * @module
 */

/** More pages than people look at; each holds a connection and some memory. */
export const CLIENTS_MAX = 16;

/** What waits for a page that does not read. One that has more waiting than this when the next message comes is dropped. */
const WAITING_BYTES_MAX = 1_048_576;

/** How soon a page that lost its connection comes back. */
const RETRY_MS = 1_000;

type Client = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** The pages that listen. */
export class LiveClients {
  readonly #clients = new Set<Client>();
  readonly #encoder = new TextEncoder();
  readonly #onChange: () => void;
  #nextId = 1;

  /** @param onChange Is called when a page came or went. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get count(): number {
    return this.#clients.size;
  }

  /**
   * A stream for one more page, which begins with everything: whatever it missed since its last connection is in there.
   *
   * @returns Undefined if there are too many.
   */
  open(snapshot: unknown): ReadableStream<Uint8Array<ArrayBuffer>> | undefined {
    if (this.#clients.size >= CLIENTS_MAX) return undefined;
    let own: Client;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (client) => {
        own = client;
        client.enqueue(this.#encoder.encode(`retry: ${RETRY_MS}\n\n`));
        client.enqueue(this.#message("snapshot", snapshot));
        this.#clients.add(client);
        this.#onChange();
      },
      cancel: () => this.#remove(own),
    }, { highWaterMark: WAITING_BYTES_MAX, size: ({ byteLength }) => byteLength });
  }

  /** Sends a message to every page. */
  send(type: string, data: unknown): void {
    this.#spread(this.#message(type, data));
  }

  /** Ends every connection. */
  close(): void {
    for (const client of this.#clients) {
      client.close();
      this.#remove(client);
    }
  }

  #message(type: string, data: unknown): Uint8Array<ArrayBuffer> {
    // JSON has no line ends of its own, so it is one line of data.
    return this.#encoder.encode(
      `id: ${this.#nextId++}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`,
    );
  }

  #spread(bytes: Uint8Array<ArrayBuffer>): void {
    for (const client of this.#clients) {
      if ((client.desiredSize ?? 0) > 0) {
        client.enqueue(bytes);
        continue;
      }
      client.error(new Error("The page does not read what it is sent"));
      this.#remove(client);
    }
  }

  #remove(client: Client): void {
    if (this.#clients.delete(client)) this.#onChange();
  }
}
