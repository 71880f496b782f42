export { type AttachedLog, attachEmbeddedLog } from "./attach.ts";
export { lockFolder } from "./lock.ts";
export { openEmbeddedLog } from "./open.ts";
export { makeFolder } from "./make-folder.ts";
export type { EmbeddedLog, EmbeddedLogHandle, EmbeddedLogOptions } from "./options.ts";
