export { type AttachedLog, attachEmbeddedLog } from "./attach.ts";
export { openEmbeddedLog } from "./log.ts";
export type { EmbeddedLog, EmbeddedLogHandle, EmbeddedLogOptions } from "./options.ts";
