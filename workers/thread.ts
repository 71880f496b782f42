import { join } from "node:path";
import { attachEmbeddedLog, type EmbeddedLogHandle } from "../drivers/embedded/index.ts";
import { findPlugin } from "../plugins/registry.ts";
import { serveWorker } from "./serve.ts";

await serveWorker({
  attach: (handle) => attachEmbeddedLog(handle as EmbeddedLogHandle),
  findPlugin,
  flightFolder: (handle, workerId) => join((handle as EmbeddedLogHandle).folder.path, "flights", workerId),
});
