import type { Trial, TrialRequest, TrialsPort } from "../adapters/admin/index.ts";
import type { RevisionDraft } from "../config/revision.ts";
import { isErrorCode, PulseGateError } from "../core/canonical/errors.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { ControlStore, LaneStore } from "../core/ingestion/log.ts";
import type { Revision, TenantConfig } from "../core/ingestion/revision.ts";
import { oneAtATime } from "./one-at-a-time.ts";
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
  /** Resolves once every process has followed; absent where this one has its log alone. */
  readonly everywhere?: (() => Promise<void>) | undefined;
  /** Whether this process ends trials whose time is over. */
  readonly ends: boolean;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PREFIX = "trial-";
const TENANTS_MAX = 64;
/** Trials by id, as they were asked for: what each process reads to run them. */
const RUNNING = "trials/running";
/** Ids of tenants whose lanes are to be dropped, whoever comes to it. */
const KEY = "trials/tenants";

type Book = Readonly<Record<string, { readonly trial: Trial; readonly tenants: TrialRequest["tenants"] }>>;

interface Running {
  readonly trial: Trial;
  /** None where this process can't run them. */
  readonly tenants: readonly TenantConfig[];
  readonly ended: AbortController;
}

/**
 * Tenants that are there for a measurement and then gone with their lanes: they run beside the configuration,
 * which does not know of them, in every process that shares the log. They are kept before they run, so that a
 * process that dies leaves nothing which another does not clear away. What they sent stays in the log until its
 * time is over.
 */
export class Trials implements TrialsPort {
  readonly #options: TrialOptions;
  readonly #running = new Map<string, Running>();
  readonly #serially = oneAtATime();

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  /** A revision with the tenants of the trials beside its own. */
  beside(revision: Revision): Revision {
    const own = new Set(revision.tenants.map(({ id }) => id));
    const added = this.#tenants().filter(({ id }) => !own.has(id));
    return added.length === 0 ? revision : { ...revision, tenants: [...revision.tenants, ...added] };
  }

  async begin({ tenants, ttlMs }: TrialRequest): Promise<Trial> {
    const { log, read, clock, newId, everywhere } = this.#options;
    const draft = await read(textOf(tenants));
    await this.follow();
    this.#check(draft.tenants);
    const ids = draft.tenants.map(({ id }) => id);
    const trial = { id: newId(), tenantIds: ids, expiresAt: clock.now() + ttlMs };
    await this.#keep((book) => ({ ...book, [trial.id]: { trial, tenants } }));
    try {
      await updateDocument<string[]>(log.control, KEY, { change: (known = []) => [...new Set([...known, ...ids])] });
      await Promise.all(lanesOf(draft).map((lane) => log.openLane(lane, "tail")));
      await this.follow();
      await everywhere?.();
    } catch (error) {
      await this.end(trial.id);
      throw error;
    }
    return trial;
  }

  async end(id: string): Promise<void> {
    const { log, everywhere } = this.#options;
    const { value: book = {} } = await readDocument<Book>(log.control, RUNNING);
    const asked = book[id];
    if (asked === undefined) throw new PulseGateError("not_found", `there is no trial ${id}`);
    await this.#keep(({ [id]: _gone, ...others }) => others);
    await this.follow();
    await everywhere?.();
    // Nobody works on the lanes from here on.
    await forget({ ...this.#options, ids: asked.trial.tenantIds });
  }

  /** Runs what is kept and not run yet, and ends what is not kept any more. Rejects once for what can't run here. */
  async follow(): Promise<void> {
    return this.#serially(async () => {
      const { value: book = {} } = await readDocument<Book>(this.#options.log.control, RUNNING);
      const gone = [...this.#running.keys()].filter((id) => book[id] === undefined);
      const fresh = Object.values(book).filter(({ trial }) => !this.#running.has(trial.id));
      if (gone.length === 0 && fresh.length === 0) return;
      for (const id of gone) {
        this.#running.get(id)?.ended.abort();
        this.#running.delete(id);
      }
      try {
        for (const { trial, tenants } of fresh) await this.#take(trial, tenants);
        await this.#options.refresh();
      } catch (error) {
        for (const { trial } of fresh) await this.#take(trial, []);
        await this.#options.refresh();
        throw error;
      } finally {
        for (const { trial } of fresh) void this.#endLater(this.#running.get(trial.id) as Running);
      }
    });
  }

  async #take(trial: Trial, tenants: TrialRequest["tenants"]): Promise<void> {
    const read = tenants.length === 0 ? [] : (await this.#options.read(textOf(tenants))).tenants;
    this.#running.set(trial.id, { trial, tenants: read, ended: new AbortController() });
  }

  async #keep(change: (book: Book) => Book): Promise<void> {
    await updateDocument<Book>(this.#options.log.control, RUNNING, { change: (book = {}) => change(book) });
  }

  /** Ends waiting for their time; another process, or the next start, clears what is left. */
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

  async #endLater({ trial, ended }: Running): Promise<void> {
    const { clock, logger, ends } = this.#options;
    if (!ends) return;
    await clock.sleep(Math.max(0, trial.expiresAt - clock.now()), ended.signal);
    if (ended.signal.aborted) return;
    logger.info({ trial: trial.id }, "the time of a trial is over; its tenants are removed");
    await this.end(trial.id).catch((error: unknown) => {
      // Another process was quicker.
      if (isErrorCode(error, "not_found")) return;
      logger.error({ trial: trial.id, error }, "a trial's lanes could not be dropped; the next start tries again");
    });
  }
}

function textOf(tenants: TrialRequest["tenants"]): string {
  return JSON.stringify({ version: 1, tenants });
}

/**
 * Drops the lanes of trials that a process left behind. `isAlone`: trials end with their process, so that all there
 * are have been left behind; to be called before anyone works on lanes.
 */
export async function clearTrials(
  options: Pick<TrialOptions, "log" | "configured"> & { readonly isAlone: boolean },
): Promise<void> {
  const { control } = options.log;
  if (options.isAlone) await updateDocument<Book>(control, RUNNING, { change: () => ({}) });
  const { value: book = {} } = await readDocument<Book>(control, RUNNING);
  const running = new Set(Object.values(book).flatMap(({ trial }) => trial.tenantIds));
  const { value: ids = [] } = await readDocument<string[]>(control, KEY);
  const left = ids.filter((id) => !running.has(id));
  if (left.length > 0) await forget({ ...options, ids: left });
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
