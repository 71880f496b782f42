import { isatty } from "node:tty";
import type { Clock, Logger } from "../core/environment.ts";
import { Teardown } from "./teardown.ts";

export interface LifecycleOptions {
  /** From the signal to the end. */
  readonly graceMs: number;
  /** SIGHUP has a file to read again, which whoever watches it does. */
  readonly reloads: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Life {
  /** Every part that was started adds how it is stopped, at once. */
  readonly teardown: Teardown;
  /** Aborts when the end is asked for: a start under way gives up then. */
  readonly asked: AbortSignal;
}

export interface Running {
  /** Resolves with the reason when it can't go on. */
  readonly failed: Promise<Error>;
}

/** What a process that was stopped before it was ready ends with. */
const INTERRUPTED = 130;

/**
 * Starts, runs until a signal or a failure, and stops all that was started, within one budget. Signals
 * are heard from the first moment, so that one during the start leaves nothing behind. The exit code:
 * 0 after a signal, 1 after a failure, 130 when the signal came before all was ready. Rejects with
 * what hindered the start.
 */
export async function runLifecycle(
  options: LifecycleOptions,
  start: (life: Life) => Promise<Running>,
): Promise<number> {
  const { logger } = options;
  const signals = hearSignals(options);
  const teardown = new Teardown(options);
  const starting = start({ teardown, asked: signals.asked });
  let exitCode: number;
  try {
    const running = await Promise.race([starting, signals.first]);
    if (typeof running === "string") {
      logger.warn({ signal: running }, "stopping before everything has started");
      teardown.add({ name: "the start", share: 0.2, stop: () => starting.then(ignore, ignore) });
      exitCode = INTERRUPTED;
    } else exitCode = await untilOver(running, signals, logger);
  } finally {
    await teardown.run();
    signals.forget();
  }
  logger.info({}, "stopped");
  return exitCode;
}

async function untilOver(running: Running, signals: Signals, logger: Logger): Promise<number> {
  const reason = await Promise.race([signals.first, running.failed]);
  if (reason instanceof Error) logger.error({ error: reason }, "PulseGate can't go on and stops");
  else logger.info({ signal: reason }, "stopping: no new requests, finishing what is in flight");
  return reason instanceof Error ? 1 : 0;
}

function ignore(): void {}

/** A terminal's Ctrl-C may reach us twice: from the terminal and through the launcher. */
const SAME_SIGNAL_MS = 1_000;

interface Signals {
  /** The first that asks for the end; a later one ends the process at once. */
  readonly first: Promise<NodeJS.Signals>;
  readonly asked: AbortSignal;
  forget(): void;
}

function hearSignals({ logger, clock, reloads }: LifecycleOptions): Signals {
  const { promise: first, resolve } = Promise.withResolvers<NodeJS.Signals>();
  const asked = new AbortController();
  let askedAt: number | undefined;
  const onEnd = (signal: NodeJS.Signals) => {
    if (askedAt !== undefined) {
      if (clock.monotonic() - askedAt < SAME_SIGNAL_MS) return;
      logger.warn({ signal }, "stopping at once; what was not finished comes again at the next start");
      process.exit(INTERRUPTED);
    }
    askedAt = clock.monotonic();
    resolve(signal);
    asked.abort(new Error(`stopped by ${signal}`));
  };
  const hadTerminal = isatty(STDERR);
  const onHangup = (signal: NodeJS.Signals) => {
    // The terminal was closed: nobody is left to stop us in another way.
    if (hadTerminal && !isatty(STDERR)) onEnd(signal);
    else if (!reloads) logger.info({ signal }, "there is no configuration file to read again");
  };
  const listeners = { SIGTERM: onEnd, SIGINT: onEnd, SIGHUP: onHangup } as const;
  for (const [signal, listener] of Object.entries(listeners)) process.on(signal, listener);
  return {
    first,
    asked: asked.signal,
    forget() {
      for (const [signal, listener] of Object.entries(listeners)) process.off(signal, listener);
    },
  };
}

const STDERR = 2;
