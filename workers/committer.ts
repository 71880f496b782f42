import type { LaneCommit, LaneStore } from "../core/ingestion/log.ts";
import { PulseGateError } from "../core/canonical/errors.ts";

/** Bounds one transaction of the store; what is over goes into the next. */
const COMMITS_MAX = 512;

interface Pending {
  readonly commit: LaneCommit;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers the commits of a worker's lanes: one call to the store at a time, and what comes
 * meanwhile makes the next. No timer: a lone commit goes at once.
 */
export class Committer {
  readonly #store: Pick<LaneStore, "commit">;
  #pending: Pending[] = [];
  #running = false;

  constructor(store: Pick<LaneStore, "commit">) {
    this.#store = store;
  }

  /** Resolves when the commit is durable; rejects as `LaneStore.commit` does for it. */
  commit(commit: LaneCommit): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ commit, resolve, reject });
      if (this.#running) return;
      this.#running = true;
      // Lanes that finish in the same turn of the event loop share the first call, too.
      queueMicrotask(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending.slice(0, COMMITS_MAX);
      this.#pending = this.#pending.slice(COMMITS_MAX);
      await this.#store.commit(batch.map((pending) => pending.commit)).then(
        (results) => batch.forEach((pending, i) => finish(pending, results[i])),
        (error: unknown) => batch.forEach((pending) => pending.reject(error)),
      );
    }
    this.#running = false;
  }
}

function finish(pending: Pending, result: PromiseSettledResult<void> | undefined): void {
  if (result?.status === "fulfilled") pending.resolve();
  else pending.reject(result?.reason ?? new PulseGateError("internal", "The log gave no result for a commit"));
}
