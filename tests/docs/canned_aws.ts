/**
 * Owns: services of AWS on loopback that take whatever they are sent: a queue, a topic.
 * Must not: assert.
 * Called by: the tests of the examples.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** How a client of the AWS SDK reaches it. */
export interface CannedClient {
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly endpoint: string;
  readonly maxAttempts: number;
}

/** A server that keeps what it is sent and gives a canned answer. */
export class CannedAws implements AsyncDisposable {
  readonly bodies: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answer: (body: string) => Response) {
    const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
    this.#server = Deno.serve(options, async (request) => {
      const body = await request.text();
      this.bodies.push(body);
      return answer(body);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  get client(): CannedClient {
    const credentials = { accessKeyId: "x", secretAccessKey: "x" };
    return { region: "us-east-1", credentials, endpoint: this.url, maxAttempts: 1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A queue. */
export function sqs(): CannedAws {
  return new CannedAws(sqsReceipt);
}

/** What SQS answers to a message; its client compares the sum. */
export function sqsReceipt(body: string): Response {
  const { MessageBody } = JSON.parse(body);
  const MD5OfMessageBody = createHash("md5").update(MessageBody).digest("hex");
  return Response.json({ MessageId: "1", MD5OfMessageBody });
}

/** A topic. */
export function sns(): CannedAws {
  return new CannedAws(() =>
    new Response(
      `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
        <MessageId>1</MessageId></PublishResult></PublishResponse>`,
      { headers: { "content-type": "text/xml" } },
    )
  );
}
