import { isatty } from "node:tty";
import { pino } from "pino";
import type { DestinationStream } from "pino";
import pretty from "pino-pretty";
import type { LogFields, Logger } from "../core/environment.ts";
import { redactedText, redactFields } from "./redact.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LoggerOptions {
  readonly level?: LogLevel;
  /** Where lines go; standard output when absent. A stream, where they shall be readable. */
  readonly destination?: DestinationStream & { readonly isTTY?: boolean };
  /** Readable lines instead of JSON; by default when standard output is a terminal. */
  readonly pretty?: boolean;
  /** Fields of every line, e.g. the role. */
  readonly fields?: LogFields;
}

export interface ProcessLogger extends Logger {
  /** From now on these values are blotted out wherever they turn up. */
  addSecrets(secrets: readonly string[]): void;
  /** The same logger with fields added to each line. */
  with(fields: LogFields): Logger;
}

/** JSON lines: `time`, `level`, `msg` and the fields, `tenant_id` and `trace_id` among them. */
export function createLogger(options: LoggerOptions = {}): ProcessLogger {
  const secrets = new Set<string>();
  const readable = options.pretty ?? (options.destination === undefined && isatty(1));
  const colorize = options.destination === undefined ? isatty(1) : options.destination.isTTY === true;
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  const log = pino(
    {
      level: options.level ?? "info",
      base: options.fields ?? {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }), log: (fields) => redactFields(fields) },
      hooks: { streamWrite: (line) => redactedText(line, secrets) },
    },
    readable ? pretty({ colorize, ignore: "pid,hostname", destination, sync: true }) : destination,
  );
  return {
    ...coreLogger(log),
    addSecrets: (added) => {
      for (const secret of added) secrets.add(secret);
    },
    with: (fields) => coreLogger(log.child(redactFields(fields))),
  };
}

type PinoLike = Pick<ReturnType<typeof pino>, LogLevel>;

function coreLogger(log: PinoLike): Logger {
  return {
    debug: (fields, message) => {
      log.debug(fields, message);
    },
    info: (fields, message) => {
      log.info(fields, message);
    },
    warn: (fields, message) => {
      log.warn(fields, message);
    },
    error: (fields, message) => {
      log.error(fields, message);
    },
  };
}
