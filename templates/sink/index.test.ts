import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { contextOf, eventOf, type SinkTarget, testSink } from "pulsegate/plugin-testing";
import plugin from "./index.ts";

testSink({ definition: plugin, target: collector });

test("gives up an event that the collector refuses, with its answer", async () => {
  const target = await collector(422);
  const sink = plugin.create();
  await sink.init?.(target.config);
  const outcome = await sink.send(eventOf(), contextOf());
  await target.close();
  assert.deepEqual(outcome, { type: "error", code: "422", reason: "the collector answered 422", response: "no" });
});

/** A collector on a port of its own, which can be switched off. */
async function collector(status = 200): Promise<SinkTarget> {
  const ids: string[] = [];
  const server = createServer(async (request, response) => {
    const lines = (await request.setEncoding("utf8").toArray()).join("").split("\n");
    if (status === 200) ids.push(...lines.filter(Boolean).map((line) => JSON.parse(line).event_id));
    response.writeHead(status).end(status === 200 ? "" : "no");
  });
  const port = await listen(server, 0);
  return {
    config: { url: `http://127.0.0.1:${port}/` },
    stored: async () => ids.map((eventId) => ({ eventId })),
    async outage() {
      await stop(server);
      return async () => void (await listen(server, port));
    },
    close: () => stop(server),
  };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  if (server.listening) await new Promise((done) => server.close(done));
}
