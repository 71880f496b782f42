import { createHash } from "node:crypto";
import { z } from "zod";
import { isErrorCode, PulseGateError } from "../../../core/canonical/errors.ts";
import type { VersionedJob } from "../../../core/ingestion/job-control.ts";
import { updateDocument } from "../../../core/ingestion/control.ts";
import { changeAudited } from "../change.ts";
import { PAGE, pageOf, TENANT } from "../input.ts";
import { JobInput, jobSpecOf, jobView, PreviewInput, previewView, RateInput, rateOf } from "../job-form.ts";
import { operation, param } from "../operation.ts";
import type { Answer, Call } from "../operation.ts";
import type { AdminPorts } from "../ports.ts";
import { JobSchema, pageSchema, PreviewSchema } from "../schemas.ts";
import { findTenant } from "./tenants.ts";

const listJobs = operation({
  id: "list_jobs",
  method: "GET",
  path: "/jobs",
  summary: "List replays, redrives and backfills, the newest first",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...PAGE }),
  response: pageSchema(JobSchema),
  handle: async ({ tenantId, query }, ports) => {
    const all = await ports.jobs.list(tenantId);
    const page = pageOf(all, ({ job }) => `${String(1e15 - job.createdAt)}/${job.id}`, query);
    return { body: { ...page, items: await Promise.all(page.items.map((one) => viewOf(ports, one))) } };
  },
});

const createJob = operation({
  id: "create_job",
  method: "POST",
  path: "/tenants/{tenant}/jobs",
  summary: "Plan a replay, redrive or backfill: it is counted, and delivers nothing before it is started",
  description:
    "With an `Idempotency-Key` a repeat gives the first job again, for as long as its key is among the last 1,000.",
  role: "operator",
  scope: "tenant",
  body: JobInput,
  status: 201,
  response: JobSchema,
  errors: ["not_found", "conflict", "idempotency_conflict"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    const spec = jobSpecOf(call.body, { tenantId: tenant.id, createdBy: call.who.id });
    const make = async (): Promise<string> => {
      const made = await changeAudited(call, ports, {
        action: "create_job",
        target: `tenants/${tenant.id}/jobs`,
        tenantId: tenant.id,
        make: async () => {
          const { job } = await ports.jobs.create(spec);
          return { body: job.id, after: { job: job.id, kind: job.spec.kind, events: job.events } };
        },
      });
      return made.body as string;
    };
    const id = call.idempotencyKey === undefined ? await make() : await once(call, ports, make);
    return answerOf(ports, await ports.jobs.get(id));
  },
});

const previewJob = operation({
  id: "preview_job",
  method: "POST",
  path: "/tenants/{tenant}/jobs/preview",
  summary: "Compare what a job would bring today with what was recorded; makes no job and delivers nothing",
  description:
    "Runs the selected events through today's transforms and routes, up to 100,000 of each sink. What came out by a configuration that is today's counts as unchanged.",
  role: "operator",
  scope: "tenant",
  body: PreviewInput,
  response: PreviewSchema,
  errors: ["not_found"],
  handle: async (call, ports) => {
    const tenant = findTenant(ports, param(call, "tenant"));
    const { examples, ...input } = call.body;
    const spec = jobSpecOf(input, { tenantId: tenant.id, createdBy: call.who.id });
    const sinks = await ports.previewJob(spec, { examplesMax: examples });
    return { body: previewView(tenant.id, sinks) };
  },
});

const showJob = operation({
  id: "show_job",
  method: "GET",
  path: "/jobs/{job}",
  summary: "Show a job, how far it is and when it will be through",
  role: "viewer",
  scope: "tenant",
  response: JobSchema,
  errors: ["not_found"],
  handle: async (call, ports) => answerOf(ports, await ownJob(call, ports)),
});

const CHANGES = {
  start: "Let a planned job deliver",
  pause: "Let a job rest where it is; it holds across restarts",
  resume: "Let a paused job go on from where it stood",
  cancel: "End a job; what it has delivered stays delivered",
} as const;

function changeOperation(action: keyof typeof CHANGES) {
  return operation({
    id: `${action}_job`,
    method: "POST",
    path: `/jobs/{job}/${action}`,
    summary: CHANGES[action],
    role: "operator",
    scope: "tenant",
    ifMatch: "optional",
    response: JobSchema,
    errors: ["not_found", "conflict", "precondition_failed"],
    handle: async (call, ports) => changeJob(call, ports, action, (id, version) => ports.jobs[action](id, version)),
  });
}

const setRate = operation({
  id: "set_job_rate",
  method: "POST",
  path: "/jobs/{job}/rate",
  summary: "Change how fast a job goes, also while it runs",
  role: "operator",
  scope: "tenant",
  body: RateInput,
  ifMatch: "optional",
  response: JobSchema,
  errors: ["not_found", "conflict", "precondition_failed"],
  handle: async (call, ports) => {
    const rate = rateOf(call.body);
    return changeJob(call, ports, "set_rate", (id, version) => ports.jobs.setRate(id, rate, version));
  },
});

export const JOB_OPERATIONS = [
  listJobs,
  createJob,
  previewJob,
  showJob,
  changeOperation("start"),
  changeOperation("pause"),
  changeOperation("resume"),
  changeOperation("cancel"),
  setRate,
];

async function changeJob(
  call: Call<unknown, unknown>,
  ports: AdminPorts,
  action: string,
  change: (id: string, version: number | undefined) => Promise<VersionedJob>,
): Promise<Answer> {
  const { job } = await ownJob(call, ports);
  return changeAudited(call, ports, {
    action: action === "set_rate" ? "set_job_rate" : `${action}_job`,
    target: `jobs/${job.id}`,
    tenantId: job.spec.tenantId,
    before: { state: job.state, rate: job.spec.rate },
    make: async () => {
      const changed = await change(job.id, call.ifMatch).catch((error: unknown) => {
        if (!isErrorCode(error, "version_conflict")) throw error;
        throw new PulseGateError("precondition_failed", `job ${job.id} was changed by another`);
      });
      const { state, spec } = changed.job;
      return { ...(await answerOf(ports, changed)), after: { state, rate: spec.rate } };
    },
  });
}

/** Rejects with `not_found`, for another tenant's job as well: nothing is told of it. */
async function ownJob(call: Call<unknown, unknown>, { jobs }: AdminPorts): Promise<VersionedJob> {
  const id = param(call, "job");
  const found = /^[a-z0-9-]{1,64}$/.test(id) ? await jobs.get(id) : undefined;
  const isOwn = call.who.tenantId === undefined || call.who.tenantId === found?.job.spec.tenantId;
  if (found === undefined || !isOwn) throw new PulseGateError("not_found", `there is no job ${id}`);
  return found;
}

async function viewOf({ jobs }: AdminPorts, { job }: VersionedJob) {
  return jobView(job, await jobs.progress(job));
}

async function answerOf(ports: AdminPorts, found: VersionedJob): Promise<Answer> {
  return { body: await viewOf(ports, found), version: found.version };
}

interface Remembered {
  readonly key: string;
  /** Of the request. */
  readonly digest: string;
  /** Absent while the first request is under way. */
  readonly job?: string | undefined;
  readonly at: number;
}

const REMEMBERED = "idempotency/jobs";
const REMEMBERED_MAX = 1_000;
/** A first request that has not come back by then never will. */
const UNDER_WAY_MS = 60_000;

/** Makes the job of an idempotency key once; a repeat gives its id. */
async function once(call: Call<unknown, unknown>, ports: AdminPorts, make: () => Promise<string>): Promise<string> {
  const { control, clock } = ports;
  const key = digestOf([call.who.id, param(call, "tenant"), call.idempotencyKey]);
  const claim: Remembered = { key, digest: digestOf(call.body), at: clock.now() };
  let made: string | undefined;
  const remember = (change: (known: readonly Remembered[]) => readonly Remembered[]) =>
    updateDocument<readonly Remembered[]>(control, REMEMBERED, { change: (known) => change(known ?? []) });
  await remember((known) => {
    const first = known.find((one) => one.key === key);
    made = first === undefined ? undefined : repeatOf(first, claim);
    if (made !== undefined) return known;
    return [...known.filter((one) => one.key !== key), claim].slice(-REMEMBERED_MAX);
  });
  if (made !== undefined) return made;
  try {
    const job = await make();
    await remember((known) => known.map((one) => (one.key === key ? { ...one, job } : one)));
    return job;
  } catch (error) {
    await remember((known) => known.filter((one) => one.key !== key));
    throw error;
  }
}

/** The job of the first request; undefined when that came to nothing. */
function repeatOf(first: Remembered, claim: Remembered): string | undefined {
  if (first.digest !== claim.digest) {
    throw new PulseGateError("idempotency_conflict", "this Idempotency-Key was used for another job");
  }
  if (first.job === undefined && claim.at - first.at < UNDER_WAY_MS) {
    const retryAfterMs = 1_000;
    throw new PulseGateError("conflict", "the first request with this Idempotency-Key is under way", { retryAfterMs });
  }
  return first.job;
}

function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
