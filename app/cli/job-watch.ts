import { setTimeout } from "node:timers/promises";
import cliProgress from "cli-progress";
import type { AdminClient } from "./admin-client.ts";
import { pathOf } from "./admin-client.ts";
import { EXIT, Failure } from "./failure.ts";
import { interruption } from "./interruption.ts";
import { printJson, printLine, printNote } from "./print.ts";
import { withoutControls } from "./table.ts";

/** A job as the admin API shows it, as far as the commands look. */
export interface JobView {
  readonly id: string;
  readonly kind: string;
  readonly tenant: string;
  readonly state: string;
  readonly reason?: string;
  readonly sinks?: readonly string[];
  readonly events: number;
  readonly is_estimate: boolean;
  readonly created_at: string;
  readonly canary?: {
    readonly events: number;
    readonly share: number;
    readonly state?: string;
    readonly tried?: number;
    readonly succeeded?: number;
  };
  readonly progress: {
    readonly delivered: number;
    readonly filtered: number;
    readonly failed: number;
    readonly erased: number;
    readonly settled: number;
    readonly share: number;
    readonly events_per_second?: number;
    readonly eta_ms?: number;
    readonly waiting: ReadonlyArray<{
      readonly sink: string;
      readonly stage: string;
      readonly code: string;
      readonly message: string;
    }>;
  };
}

const LOOK_MS = 300;
const ENDED = new Set(["done", "failed", "cancelled"]);

/** Follows a job to its end, with a bar on a terminal. Fails when it or some of its events failed, when it was cancelled or rests. */
export async function watchJob(client: AdminClient, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  const bar = createBar() ?? createNotes();
  const stop = interruption();
  let job = await client.get<JobView>(`/jobs${pathOf(id)}`);
  try {
    while (!ENDED.has(job.state) && job.state !== "paused" && job.state !== "planned") {
      bar.show(job);
      await setTimeout(LOOK_MS, undefined, { signal: stop.signal });
      job = await client.get<JobView>(`/jobs${pathOf(id)}`);
    }
    bar.show(job);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    const next = `pulsegate replay watch ${id}; or pause or cancel it`;
    throw new Failure(`interrupted; the job ${id} goes on`, { exitCode: EXIT.interrupted, next });
  } finally {
    stop.release();
    bar.stop();
  }
  if (json === true) printJson(job);
  else printLine(outcomeOf(job));
  const { failed } = job.progress;
  if (job.state === "done" && failed === 0) return;
  if (job.state === "done") {
    const what = job.kind === "redrive" ? "dead letter(s) failed again" : "event(s) became dead letters";
    throw new Failure(`${failed} ${what}`, { next: "pulsegate dlq groups" });
  }
  const next =
    job.state === "failed"
      ? "mend the cause (`pulsegate dlq groups`), then run the command again"
      : `pulsegate replay resume ${id}`;
  throw new Failure(`job ${id} is ${job.state}`, { next, ...(job.reason === undefined ? {} : { why: job.reason }) });
}

/** One line of what a job has done. */
export function outcomeOf({ id, state, canary, progress }: JobView): string {
  const { delivered, filtered, failed, erased, waiting } = progress;
  const parts = [`delivered ${delivered}`, `filtered ${filtered}`, `failed ${failed}`];
  if (erased > 0) parts.push(`erased ${erased}`);
  const tried = canary?.state === undefined ? "" : `canary ${canary.state}: ${canary.succeeded} of ${canary.tried}; `;
  const waits = waiting.map((wait) => `; ${waitOf(wait)}`);
  return withoutControls(`${id}  ${state}: ${tried}${parts.join(", ")}${waits.join("")}`);
}

function waitOf({ sink, stage, code, message }: JobView["progress"]["waiting"][number]): string {
  return `waiting for ${stage.startsWith("transform ") ? stage : `sink ${sink}`}: ${code}: ${message}`;
}

/** Without a terminal: what holds the job up, and that it goes on again. */
function createNotes() {
  let told = "";
  return {
    show({ id, state, progress: { waiting } }: JobView) {
      if (state !== "running") return;
      const now = waiting.map(waitOf).join("; ");
      if (now === told) return;
      printNote(withoutControls(now === "" ? `job ${id} goes on` : `job ${id} is ${now}`));
      told = now;
    },
    stop: () => undefined,
  };
}

function createBar() {
  if (!process.stderr.isTTY) return undefined;
  const format = "{bar} {percentage} %  {settled} events  {rate}/s  {left}";
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format,
    barsize: 24,
    hideCursor: true,
    gracefulExit: false,
  });
  bar.start(1_000, 0, { settled: 0, rate: 0, left: "" });
  return {
    show({ progress, state }: JobView) {
      const { share, settled, events_per_second: rate = 0, eta_ms: etaMs, waiting } = progress;
      const [wait] = waiting;
      // `eta` would be the library's own.
      const left = etaMs === undefined ? state : `${Math.ceil(etaMs / 1_000)} s left`;
      bar.update(Math.floor(share * 1_000), {
        settled,
        rate: Math.round(rate),
        left: wait ? `waiting for ${wait.sink}` : left,
      });
    },
    stop: () => bar.stop(),
  };
}
