import { strict as assert } from "node:assert";
import { test } from "node:test";
import { contextOf, eventOf, testTransform } from "pulsegate/plugin-testing";
import plugin from "./index.ts";

testTransform({
  definition: plugin,
  configs: [{}, { member: "__proto__" }],
  golden: new URL("./golden/", import.meta.url),
});

test("adds the member", async () => {
  const transform = plugin.create();
  await transform.init?.({ member: "shop", value: "berlin" });
  const outcome = await transform.process(eventOf({ amount: 1 }), contextOf());
  assert.equal(outcome.type, "ok");
  assert.deepEqual(outcome.event.payload, { amount: 1, shop: "berlin" });
});
