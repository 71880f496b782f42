import { startEndpoint } from "../../testing/endpoint.ts";
import { startProxy } from "../../testing/proxy.ts";
import type { SinkTarget } from "../../testing/sink.ts";

const BAD = '{"bad":true}';
const BROKEN_REQUESTS = 100;

/** An endpoint on loopback, and a proxy in front of it that can be harmed. */
export async function webhookTarget(): Promise<SinkTarget> {
  const endpoint = await startEndpoint();
  const proxy = await startProxy(() => ({ host: "127.0.0.1", port: endpoint.port }));
  const usual: typeof endpoint.answer = ({ body }, response) =>
    void response.writeHead(body.includes(BAD) ? 400 : 200).end();
  const asUsual = async () => void (endpoint.answer = usual);
  await asUsual();
  const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  return {
    config: { url: `http://127.0.0.1:${proxy.port}/hook?a=1`, secrets: [secret], allow: ["127.0.0.1"] },
    badPayload: BAD,
    async stored() {
      return endpoint.taken.map(({ headers, body }) => ({
        eventId: String(headers["webhook-id"]),
        payload: JSON.stringify((JSON.parse(body.toString()) as { payload: unknown }).payload),
      }));
    },
    outage: () => proxy.outage(),
    freeze: () => proxy.freeze(),
    async breakNextDelivery() {
      let broken = 0;
      endpoint.answer = (request, response) => {
        broken += 1;
        if (broken > BROKEN_REQUESTS) return usual(request, response);
        response.destroy();
      };
      return asUsual;
    },
    async permanentFault() {
      endpoint.answer = (_, response) => void response.writeHead(403).end("no");
      return asUsual;
    },
    async close() {
      await proxy.close();
      await endpoint.close();
    },
  };
}
