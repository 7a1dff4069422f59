/**
 * Owns: the canned server's answers over HTTP/2, which is what the SDK's default client speaks.
 * Must not: run in Deno: with the server of Deno 2.9 that client reads 65,535 bytes of an answer, and no more.
 * Called by: `throughput.ts`, as a process of Node: `h2_front.mjs URL`; it ends with its stdin.
 */

import { createServer } from "node:http2";

const [, , behind] = process.argv;
/** Answers by what was asked for: those of the canned server never change. */
const kept = new Map();

async function answerTo(target, body) {
  const key = `${target} ${body}`;
  const found = kept.get(key);
  if (found !== undefined) return found;
  const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": target };
  const reply = await fetch(behind, { method: "POST", headers, body });
  const made = { status: reply.status, body: Buffer.from(await reply.arrayBuffer()) };
  kept.set(key, made);
  return made;
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { status, body } = await answerTo(
    request.headers["x-amz-target"],
    Buffer.concat(chunks).toString(),
  );
  response.writeHead(status, {
    "content-type": "application/x-amz-json-1.1",
    "content-length": body.length,
  });
  response.end(body);
});
server.on("sessionError", () => {}); // The client ends a session with each answer.
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
