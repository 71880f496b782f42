import { expect, test, vi } from "vitest";
import { payloadJson } from "../../core/canonical/codec.ts";
import type { TransformDefinition } from "../../plugins/contract.ts";
import { findPlugin } from "../../plugins/registry.ts";
import { FakeSink } from "../helpers/fake-sink.ts";
import { until } from "../helpers/until.ts";
import { entry, lane, sinkUse, tenant, WorkerBench } from "../helpers/worker-bench.ts";

const MARK = "found in no other text";
const PAYLOAD = `{"note":"${MARK}","user_agent":"curl/8","email":"ann@example.com","price":10.10,"id":12345678901234567890}`;

/** Each of them changes the payload above. */
const CHAIN = {
  field_normalizer: { rules: [{ field: "price", action: "rename", to: "amount" }] },
  bot_detector: {},
  pii_scrubber: {},
  business_router: { rules: [{ when: "event.payload.amount > 10", route: "big" }] },
  geoip_enricher: { field: "note" },
};

/** What the sink gets of one event, and how often its payload was parsed and written on the way. */
async function deliver(names: readonly (keyof typeof CHAIN)[]) {
  const sink = new FakeSink();
  const got: string[] = [];
  sink.behave = (events) => {
    got.push(...events.map((event) => payloadJson(event).toString()));
    return events.map(() => ({ type: "ok" }));
  };
  const definitions = names.map((name) => findPlugin(name) as TransformDefinition);
  const transforms = definitions.map((definition, i) => ({
    name: definition.name,
    config: definition.config?.parse(CHAIN[names[i] as keyof typeof CHAIN]),
  }));
  const bench = await WorkerBench.start({
    plugins: [sink.definition("fake"), ...definitions],
    tenants: [tenant("a", [sinkUse("fake")], { transforms })],
  });
  const parse = vi.spyOn(JSON, "parse");
  const stringify = vi.spyOn(JSON, "stringify");
  try {
    await bench.log.append([entry("a", "e0", { payload: PAYLOAD })]);
    // geoip_enricher looks for its files on the real disk, which takes no time of the bench's clock.
    const done = () => bench.until(lane("a", "fake"), 1, 0).catch(() => undefined);
    await until(done, "the event is through");
    const parsed = parse.mock.calls.filter(([text]) => text.includes(MARK)).length;
    const written = stringify.mock.results.filter(({ value }) => String(value).includes(MARK)).length;
    return { got, parsed, written };
  } finally {
    parse.mockRestore();
    stringify.mockRestore();
    await bench.stop();
  }
}

test("without transforms a payload reaches the sink unparsed, byte for byte", async () => {
  expect(await deliver([])).toEqual({ got: [PAYLOAD], parsed: 0, written: 0 });
});

test("with five transforms a payload is parsed once and written once in all", async () => {
  const { got, parsed, written } = await deliver(Object.keys(CHAIN) as (keyof typeof CHAIN)[]);
  expect({ parsed, written }).toEqual({ parsed: 1, written: 1 });
  expect(got).toEqual([
    `{"note":"${MARK}","user_agent":"curl/8","email":"***","amount":10.1,"id":12345678901234567890,"bot":{"detected":true,"reasons":["user_agent"]},"route":"big"}`,
  ]);
});
