import { AdminClient, pathOf, tenantOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { agreedOrCancelled } from "./dlq-commands.ts";
import type { JobView } from "./job-watch.ts";
import { outcomeOf, watchJob } from "./job-watch.ts";
import { type Preview, printPreview } from "./preview.ts";
import { printFields, printJson, printLine, printRows } from "./print.ts";

export interface ReplayOptions extends AdminOptions {
  readonly tenant?: string;
  readonly kind: "replay" | "backfill";
  readonly from?: string;
  readonly to?: string;
  readonly type?: readonly string[];
  readonly filter?: string;
  readonly sink?: readonly string[];
  readonly rate?: number;
  readonly idleShare?: number;
  readonly start?: boolean;
  /** How many examples; `true`: a few. */
  readonly preview?: number | true;
  readonly yes?: boolean;
}

/** Of a preview, for each sink. */
const EXAMPLES = 5;

/** `replay create`: counts what would be delivered; with --start asks, delivers and follows it to its end. */
export async function createReplay(options: ReplayOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const { kind, from, to, type, filter, sink, rate, idleShare } = options;
  const limit = rate === undefined ? { idle_share: idleShare ?? 1 } : { events_per_second: rate };
  const selection = { received_from: from, received_to: to, event_types: type, filter };
  const body = { kind, selection, sinks: sink, rate: limit };
  if (options.preview !== undefined) {
    const examples = options.preview === true ? EXAMPLES : options.preview;
    const shown = await client.post<Preview>(`/tenants${pathOf(tenant)}/jobs/preview`, { body: { ...body, examples } });
    return options.json === true ? printJson(shown) : printPreview(shown);
  }
  const job = await client.post<JobView>(`/tenants${pathOf(tenant)}/jobs`, { body });
  if (options.start !== true) {
    if (options.json === true) printJson(job);
    else printLine(`${planOf(job)}\nstart it: pulsegate replay start ${job.id}`);
    return;
  }
  if (job.events > 1) await agreedOrCancelled(client, job, `${planOf(job)}.`, options.yes === true);
  await client.post(`/jobs${pathOf(job.id)}/start`);
  await watchJob(client, job.id, options);
}

function planOf({ id, kind, tenant, events, is_estimate: isEstimate, sinks, progress }: JobView): string {
  const many = isEstimate ? `at most ${events}` : String(events);
  return `${id}  ${kind} of ${many} delivery(s) of tenant ${tenant} to ${sinks?.join(", ") ?? "all its sinks"}${timeOf(progress.eta_ms)}`;
}

function timeOf(etaMs: number | undefined): string {
  if (etaMs === undefined) return "";
  const seconds = Math.ceil(etaMs / 1_000);
  if (seconds < 120) return `, in about ${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `, in about ${minutes} min` : `, in about ${Math.ceil(minutes / 60)} h`;
}

/** `replay list`: redrives and backfills as well. */
export async function listJobs(options: AdminOptions & { tenant?: string }): Promise<void> {
  const client = await AdminClient.find(options);
  const items = await client.all<JobView>("/jobs", { tenant: options.tenant });
  if (options.json === true) {
    printJson({ items });
    return;
  }
  const rows = items.map(({ progress, state, ...job }) => ({
    ...job,
    state: progress.waiting.length > 0 ? "waiting" : state,
    done: `${Math.floor(progress.share * 100)} %`,
    delivered: progress.delivered,
    failed: progress.failed,
  }));
  printRows(rows, ["id", "tenant", "state", "events", "done", "delivered", "failed"], "There are no jobs.");
}

/** `replay show`. */
export async function showJob(id: string, options: AdminOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const job = await client.get<JobView & Record<string, unknown>>(`/jobs${pathOf(id)}`);
  if (options.json === true) printJson(job);
  else printFields(job);
}

/** `replay watch`: until it ends. */
export async function watch(id: string, options: AdminOptions): Promise<void> {
  await watchJob(await AdminClient.find(options), id, options);
}

/** `replay start`: asks with the counts, and follows it to its end unless told not to wait. */
export async function startJob(
  id: string,
  options: AdminOptions & { readonly yes?: boolean; readonly wait?: boolean },
): Promise<void> {
  const client = await AdminClient.find(options);
  const job = await client.get<JobView>(`/jobs${pathOf(id)}`);
  const { confirm } = await import("./confirm.ts");
  if (job.events > 1) await confirm(`${planOf(job)}.`, options.yes === true);
  await client.post(`/jobs${pathOf(id)}/start`);
  if (options.wait !== false) await watchJob(client, id, options);
  else printLine(`${id}  running`);
}

/** `replay pause`, `resume`, `cancel`. */
export async function changeJob(
  id: string,
  action: "pause" | "resume" | "cancel",
  options: AdminOptions,
): Promise<void> {
  const client = await AdminClient.find(options);
  print(await client.post<JobView>(`/jobs${pathOf(id)}/${action}`), options);
}

/** `replay rate`: events a second, or a share of the idle time. */
export async function setRate(
  id: string,
  { rate, idleShare, ...options }: AdminOptions & { readonly rate?: number; readonly idleShare?: number },
): Promise<void> {
  const client = await AdminClient.find(options);
  const body = rate === undefined ? { idle_share: idleShare ?? 1 } : { events_per_second: rate };
  print(await client.post<JobView>(`/jobs${pathOf(id)}/rate`, { body }), options);
}

function print(job: JobView, { json }: AdminOptions): void {
  if (json === true) printJson(job);
  else printLine(outcomeOf(job));
}
