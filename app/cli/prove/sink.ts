import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Mark, markOf } from "./marks.ts";

export interface TrialSink {
  readonly url: string;
  /** While true every event is taken at once, whatever its mark says; those that wait are. */
  forgive(isForgiving: boolean): void;
  close(): void;
}

const SLOW_MS = 10_000;

/** A webhook's endpoint on loopback that behaves as each event's mark says; `onSettled` hears of all that will not come again. */
export async function startSink(onSettled: (mark: Mark) => void): Promise<TrialSink> {
  let isForgiving = false;
  const waiting = new Map<NodeJS.Timeout, () => void>();
  const take = (mark: Mark, response: ServerResponse, status = 200): void => {
    onSettled(mark);
    response.writeHead(status).end();
  };
  const later = (mark: Mark, response: ServerResponse): void => {
    const answer = (): void => {
      clearTimeout(timer);
      waiting.delete(timer);
      if (!response.destroyed) take(mark, response);
    };
    const timer = setTimeout(answer, SLOW_MS);
    waiting.set(timer, answer);
  };
  const answer = (mark: Mark, response: ServerResponse): void => {
    const behave = isForgiving ? "take" : mark.behave;
    if (behave === "dead") response.destroy();
    else if (behave === "slow") later(mark, response);
    else take(mark, response, behave === "poison" ? 422 : 200);
  };
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const mark = markOf(body);
      if (mark === undefined) response.writeHead(400).end();
      else answer(mark, response);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    forgive(forgiving) {
      isForgiving = forgiving;
      if (forgiving) for (const take of [...waiting.values()]) take();
    },
    close() {
      for (const timer of waiting.keys()) clearTimeout(timer);
      server.close();
      server.closeAllConnections();
    },
  };
}

function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve) => {
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("close", () => resolve(Buffer.concat(chunks)));
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", () => {});
  });
}
