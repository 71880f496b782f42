/**
 * What the core is handed instead of reaching for it: time, chance and a place to log.
 * Tests and the simulation pass their own.
 */
export interface Clock {
  /** Wall time, milliseconds since the Unix epoch. */
  now(): number;
  /** Monotone time in milliseconds; only differences mean anything. */
  monotonic(): number;
  /** Resolves after `ms`, or at once (without an error) when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Uniform in [0, 1). */
export type Random = () => number;

export type LogFields = Readonly<Record<string, unknown>>;

/** Structured logging. Never pass payloads or secrets. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}
