/** The reference: the least that a JSON endpoint on node:http can do. Reads the body, parses it, answers 202. */
import { createServer } from "node:http";

const ANSWER = Buffer.from('{"event_id":"01980000-0000-7000-8000-000000000000","position":"bench/0/0"}');

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    JSON.parse((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).toString());
    response.writeHead(202, { "content-type": "application/json", "content-length": ANSWER.length });
    response.end(ANSWER);
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address === "object") console.log(`listening on ${address.port}`);
});
