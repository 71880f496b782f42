import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import { formatProblem } from "../config/problems.ts";
import { changedSettings } from "../config/revision.ts";
import { watchConfig } from "../config/watch.ts";
import type { Logger } from "../core/environment.ts";
import { openEmbeddedLog } from "../drivers/embedded/index.ts";
import type { EmbeddedLog } from "../drivers/embedded/index.ts";
import type { ProcessLogger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import type { Metrics } from "../observability/metrics.ts";
import { systemClock } from "../observability/system-clock.ts";
import { startGateway } from "./gateway.ts";
import type { Gateway } from "./gateway.ts";
import { Teardown } from "./teardown.ts";
import { VERSION } from "./version.ts";

export interface InstanceOptions {
  readonly config: LoadedConfig;
  /** The file to follow, and how to read it again; absent when there is none. */
  readonly reload?: { readonly file: string; readonly load: () => ParseResult } | undefined;
  readonly log: EmbeddedLog;
  readonly metrics: Metrics;
  readonly logger: ProcessLogger;
  readonly onReady: (gateway: Gateway) => Promise<void>;
}

/** The log of this process, and the lock on its folder with it. */
export async function openLog(config: LoadedConfig, logger: Logger): Promise<{ log: EmbeddedLog; metrics: Metrics }> {
  const metrics = createMetrics({ build: { version: VERSION, node: process.version } });
  const { path, dedupWindowMs, dedupBytesMax } = config.settings.log;
  const options = { path, dedupWindowMs, dedupBytesMax, clock: systemClock, metrics: metrics.log, logger };
  return { log: await openEmbeddedLog(options), metrics };
}

/** Runs the gateway until a signal or a failure ends it. The exit code: 0 after a signal, 1 after a failure. */
export async function runInstance(options: InstanceOptions): Promise<number> {
  const { config, log, metrics, logger } = options;
  const teardown = new Teardown();
  teardown.add(() => log.close());
  const stopped = untilSignal(
    logger,
    options.reload === undefined ? ["SIGTERM", "SIGINT", "SIGHUP"] : ["SIGTERM", "SIGINT"],
  );
  try {
    logger.addSecrets(config.secrets);
    const { settings, draft } = config;
    const gateway = await startGateway({ settings, draft, log, metrics, logger, clock: systemClock });
    teardown.add(() => gateway.stop());
    teardown.add(await follow(options, gateway));
    await options.onReady(gateway);
    const reason = await Promise.race([stopped.signal, gateway.failed]);
    if (reason instanceof Error) logger.error({ error: reason }, "PulseGate can't go on and stops");
    else logger.info({ signal: reason }, "stopping: no new requests, finishing what is in flight");
    return reason instanceof Error ? 1 : 0;
  } finally {
    await teardown.run();
    stopped.forget();
    logger.info({}, "stopped");
  }
}

/** A terminal's Ctrl-C may reach us twice: from the terminal and through the launcher. */
const SAME_SIGNAL_MS = 1_000;

/** The first of the signals asks (a closed terminal's SIGHUP too, where there is no file to read again); a later one ends the process at once. */
function untilSignal(
  logger: Logger,
  signals: readonly NodeJS.Signals[],
): { readonly signal: Promise<NodeJS.Signals>; forget(): void } {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let askedAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (askedAt !== undefined) {
      if (systemClock.monotonic() - askedAt < SAME_SIGNAL_MS) return;
      logger.warn({ signal }, "stopping at once; what was not finished comes again at the next start");
      process.exit(130);
    }
    askedAt = systemClock.monotonic();
    resolve(signal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: promise,
    forget() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

async function follow({ reload, config, logger }: InstanceOptions, gateway: Gateway): Promise<() => Promise<void>> {
  if (reload === undefined) return async () => {};
  const watch = await watchConfig({
    ...reload,
    runningText: config.source.text,
    clock: systemClock,
    async onConfig(next) {
      logger.addSecrets(next.secrets);
      const before = gateway.revision;
      const { number } = await gateway.apply(next.draft);
      if (number !== before) logger.info({ revision: number }, "configuration changed");
      const fixed = changedSettings(config.settings, next.settings);
      if (fixed.length > 0) logger.warn({ settings: fixed }, "these settings take effect at the next start");
    },
    onRefused(problems) {
      gateway.refuse(problems);
      logger.error(
        { revision: gateway.revision, problems: problems.map(formatProblem) },
        "the changed configuration is refused; the running one stays",
      );
    },
  });
  return () => watch.close();
}
