import type { LogFields, Logger } from "../core/environment.ts";

/** A logger whose every line carries these fields; a line can't overrule them. */
export function boundLogger(logger: Logger, bound: LogFields): Logger {
  return {
    debug: (fields, message) => logger.debug({ ...fields, ...bound }, message),
    info: (fields, message) => logger.info({ ...fields, ...bound }, message),
    warn: (fields, message) => logger.warn({ ...fields, ...bound }, message),
    error: (fields, message) => logger.error({ ...fields, ...bound }, message),
  };
}
