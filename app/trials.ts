import type { Trial, TrialRequest, TrialsPort } from "../adapters/admin/index.ts";
import type { RevisionDraft } from "../config/revision.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { ControlStore, LaneStore } from "../core/ingestion/log.ts";
import type { Revision, TenantConfig } from "../core/ingestion/revision.ts";
import { lanesOf } from "./revisions.ts";

type TrialLog = Pick<LaneStore, "lanes" | "openLane" | "dropLane"> & { readonly control: ControlStore };

export interface TrialOptions {
  readonly log: TrialLog;
  /** Reads a text as a configuration. Rejects with `invalid_config`. */
  readonly read: (text: string) => Promise<RevisionDraft>;
  /** Of the configuration. */
  readonly configured: () => readonly TenantConfig[];
  /** Lets `beside` count, in the workers and at the door. */
  readonly refresh: () => Promise<void>;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PREFIX = "trial-";
const TENANTS_MAX = 64;
/** Ids of tenants whose lanes are to be dropped, whoever comes to it. */
const KEY = "trials/tenants";

interface Running {
  readonly trial: Trial;
  readonly tenants: readonly TenantConfig[];
  readonly ended: AbortController;
}

/**
 * Tenants that are there for a measurement and then gone with their lanes: they run beside the configuration,
 * which does not know of them. Their ids are kept before they run, so that a process that dies leaves
 * nothing which the next one does not clear away. What they sent stays in the log until its time is over.
 */
export class Trials implements TrialsPort {
  readonly #options: TrialOptions;
  readonly #running = new Map<string, Running>();

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  /** A revision with the tenants of the trials beside its own. */
  beside(revision: Revision): Revision {
    const own = new Set(revision.tenants.map(({ id }) => id));
    const added = [...this.#running.values()].flatMap(({ tenants }) => tenants).filter(({ id }) => !own.has(id));
    return added.length === 0 ? revision : { ...revision, tenants: [...revision.tenants, ...added] };
  }

  async begin({ tenants, ttlMs }: TrialRequest): Promise<Trial> {
    const { log, read, clock, newId } = this.#options;
    const draft = await read(JSON.stringify({ version: 1, tenants }));
    this.#check(draft.tenants);
    const ids = draft.tenants.map(({ id }) => id);
    const trial = { id: newId(), tenantIds: ids, expiresAt: clock.now() + ttlMs };
    const running = { trial, tenants: draft.tenants, ended: new AbortController() };
    this.#running.set(trial.id, running);
    try {
      await updateDocument<string[]>(log.control, KEY, { change: (known = []) => [...new Set([...known, ...ids])] });
      await Promise.all(lanesOf(draft).map((lane) => log.openLane(lane, "tail")));
      await this.#options.refresh();
    } catch (error) {
      await this.end(trial.id);
      throw error;
    }
    void this.#endLater(running, ttlMs);
    return trial;
  }

  async end(id: string): Promise<void> {
    const running = this.#running.get(id);
    if (running === undefined) throw new PulseGateError("not_found", `there is no trial ${id}`);
    running.ended.abort();
    this.#running.delete(id);
    // Nobody works on the lanes from here on.
    await this.#options.refresh();
    await forget({ ...this.#options, ids: running.trial.tenantIds });
  }

  /** Ends waiting for their time; the next start clears what is left. */
  stop(): void {
    for (const { ended } of this.#running.values()) ended.abort();
  }

  #check(tenants: readonly TenantConfig[]): void {
    const taken = new Set([...this.#options.configured(), ...this.#tenants()].map(({ id }) => id));
    for (const { id } of tenants) {
      if (!id.startsWith(PREFIX))
        throw new PulseGateError("malformed_request", `the id of a trial's tenant begins with ${PREFIX}, not ${id}`);
      if (taken.has(id)) throw new PulseGateError("conflict", `there is a tenant ${id} already`);
    }
    if (taken.size + tenants.length - this.#options.configured().length > TENANTS_MAX)
      throw new PulseGateError("conflict", `trials have at most ${TENANTS_MAX} tenants at one time; end one first`);
  }

  #tenants(): TenantConfig[] {
    return [...this.#running.values()].flatMap(({ tenants }) => tenants);
  }

  async #endLater({ trial, ended }: Running, ttlMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    await clock.sleep(ttlMs, ended.signal);
    if (ended.signal.aborted) return;
    logger.info({ trial: trial.id }, "the time of a trial is over; its tenants are removed");
    await this.end(trial.id).catch((error: unknown) =>
      logger.error({ trial: trial.id, error }, "a trial's lanes could not be dropped; the next start tries again"),
    );
  }
}

/** Where several processes share the log: the tenants of a trial are known to one alone. */
export const NO_TRIALS: TrialsPort = {
  begin: async () => {
    throw new PulseGateError(
      "conflict",
      "trials need a process that has its log alone: other processes share this one",
    );
  },
  end: async (id) => {
    throw new PulseGateError("not_found", `there is no trial ${id}`);
  },
};

/** Drops the lanes of trials that a process left behind; to be called before anyone works on lanes. */
export async function clearTrials(options: Pick<TrialOptions, "log" | "configured">): Promise<void> {
  const { value: ids = [] } = await readDocument<string[]>(options.log.control, KEY);
  if (ids.length > 0) await forget({ ...options, ids });
}

interface Forget extends Pick<TrialOptions, "log" | "configured"> {
  readonly ids: readonly string[];
}

async function forget({ log, configured, ids }: Forget): Promise<void> {
  // A configuration that has taken over such an id keeps its lanes.
  const own = new Set(configured().map(({ id }) => id));
  const gone = new Set(ids.filter((id) => !own.has(id)));
  for (const { lane } of await log.lanes()) if (gone.has(lane.stream.tenantId)) await log.dropLane(lane);
  await updateDocument<string[]>(log.control, KEY, { change: (known = []) => known.filter((id) => !ids.includes(id)) });
}
