import type { Clock, Logger } from "../core/environment.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import type { QuotaShare } from "../core/qps/quota.ts";
import { SharedQuotas } from "../core/qps/shared-quotas.ts";
import { ROUND_MS } from "../core/qps/shared-tokens.ts";
import { takePlace } from "./places.ts";
import type { Role } from "./roles.ts";

export interface SharingOptions {
  readonly control: ControlStore;
  /** Names this process among all that share the log. */
  readonly instance: string;
  readonly role: Role;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How this process stands among those that take events. */
export interface SharingState {
  /** `alone`: it can't reach the others just now, and goes on with an equal part of each quota. */
  readonly sharing: "shared" | "alone";
  /** That take events, as far as is known. */
  readonly processes: number;
}

export interface Sharing {
  shareOf(tenantId: string): QuotaShare;
  state(): SharingState;
  stop(): Promise<void>;
}

/** Takes a place among the processes of a log, and shares the tenants' quotas with them. */
export async function startSharing(options: SharingOptions): Promise<Sharing> {
  const { control, instance, clock } = options;
  const places = await takePlace(options);
  const quotas = new SharedQuotas({ control, instance, processes: () => places.doors, clock });
  const stopped = new AbortController();
  const done = keepInStep(quotas, options, stopped.signal);
  return {
    shareOf: (tenantId) => quotas.shareOf(tenantId),
    state: () => ({ sharing: quotas.isCutOff() ? "alone" : "shared", processes: places.doors }),
    async stop() {
      stopped.abort();
      await done;
      await places.stop();
    },
  };
}

/** A few times a second while quotas are used, and once more at the end. */
async function keepInStep(
  quotas: SharedQuotas,
  { clock, logger }: SharingOptions,
  stopped: AbortSignal,
): Promise<void> {
  let isTold = true;
  while (!stopped.aborted) {
    await clock.sleep(ROUND_MS, stopped);
    try {
      await quotas.exchange();
      if (!isTold) logger.info({}, "quotas are shared with the other processes again");
      isTold = true;
    } catch (error) {
      if (isTold) logger.warn({ error }, "quotas can't be shared now: this process goes on with an equal part");
      isTold = false;
    }
  }
}
