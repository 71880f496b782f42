import { definePlugin } from "../../plugins/contract.ts";

/** The least that a transform can do with a payload: one parse, one member more, one serialisation. */
export default definePlugin({
  kind: "transform",
  name: "tag",
  version: "1.0.0",
  summary: "Adds a member.",
  create: () => ({
    name: "tag",
    version: "1.0.0",
    process: async (event) => ({ type: "ok", event: { ...event, payload: { ...event.payload, tag: "x" } } }),
  }),
});
