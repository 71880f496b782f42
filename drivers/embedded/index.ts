export { attachEmbeddedLog, type AttachedLog } from "./attach.ts";
export { type EmbeddedLog, type EmbeddedLogHandle, type EmbeddedLogOptions, openEmbeddedLog } from "./log.ts";
