import { loadConfig, loadText } from "../config/parse.ts";
import type { ParseResult } from "../config/parse.ts";
import { formatProblem } from "../config/problems.ts";
import { createLogger } from "../observability/logger.ts";
import { systemClock } from "../observability/system-clock.ts";
import { PLUGINS } from "../plugins/registry.ts";
import { openLog, startInstance } from "./instance.ts";
import { runLifecycle } from "./lifecycle.ts";
import { pluginDefaults } from "./plugin-defaults.ts";
import type { Role } from "./roles.ts";
import { startFailure } from "./start-failure.ts";

export interface StartOptions {
  readonly config: string;
  readonly role: Role;
  /** As `PoolOptions.lanesInLine`; for tests. */
  readonly lanesInLine?: boolean;
}

const WRONG_USAGE = 2;
const ONE_PROCESS = `PulseGate did not start: the embedded log belongs to one process, which must do everything; the role ROLE needs a log that processes share.
Next: start with --role all, or set log.driver to redis in the configuration.`;

/** `pulsegate start`: runs until SIGTERM or SIGINT. Returns the exit code. */
export async function runStart({ config: file, role, lanesInLine }: StartOptions): Promise<number> {
  const { env } = process;
  const options = {
    file,
    plugins: PLUGINS,
    env,
    mode: "production",
    pluginDefaults: pluginDefaults({ env }),
  } as const;
  const load = (): Promise<ParseResult> => loadConfig(options);
  const parse = (text: string): Promise<ParseResult> => loadText({ ...options, text });
  const loaded = await load();
  if (!loaded.ok) {
    for (const problem of loaded.problems) console.error(formatProblem(problem));
    return 1;
  }
  if (role !== "all" && loaded.config.settings.log.driver === "embedded") {
    console.error(ONE_PROCESS.replaceAll("ROLE", role));
    return WRONG_USAGE;
  }
  const logger = createLogger({ level: loaded.config.settings.logging.level, fields: { role } });
  logger.addSecrets(loaded.config.secrets);
  if (lanesInLine === true) logger.warn({}, "lanes wait for one another's sinks: one tenant can hold up all others");
  try {
    const graceMs = loaded.config.settings.shutdownGraceMs;
    return await runLifecycle({ graceMs, reloads: true, clock: systemClock, logger }, async ({ teardown, asked }) => {
      const opened = await openLog({ config: loaded.config, role, logger, teardown });
      asked.throwIfAborted();
      const reload = { file, load };
      const own = { config: loaded.config, role, lanesInLine, reload, parse };
      const gateway = await startInstance({ ...own, ...opened, logger, teardown });
      logger.info({ data: gateway.dataUrl, ops: gateway.opsUrl, revision: gateway.revision }, "ready");
      return gateway;
    });
  } catch (error) {
    return reportFailure(error);
  }
}

/** One clear line and the next step for what hinders a start; anything else is a fault of ours and is shown whole. */
export function reportFailure(error: unknown): number {
  const failure = startFailure(error);
  if (failure === undefined) throw error;
  console.error(`PulseGate did not start: ${failure.what}.\nNext: ${failure.next}.`);
  return 1;
}
