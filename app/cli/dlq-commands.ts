import { AdminClient, pathOf, tenantOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { confirm } from "./confirm.ts";
import { EXIT, Failure } from "./failure.ts";
import type { JobView } from "./job-watch.ts";
import { watchJob } from "./job-watch.ts";
import { printFields, printJson, printLine, printNote, printRows } from "./print.ts";
import type { Row } from "./print.ts";
import { withoutControls } from "./table.ts";

/** Tenant, partition, sink, sequence. */
const ID_PARTS = 4;

/** Which dead letters. */
export interface LetterOptions extends AdminOptions {
  readonly tenant?: string;
  readonly sink?: string;
  readonly stage?: string;
  readonly fingerprint?: string;
  readonly type?: string;
  readonly from?: string;
  readonly to?: string;
}

/** `dlq list`: one page of dead letters. */
export async function listDeadLetters(options: LetterOptions & { limit: number; after?: string }): Promise<void> {
  const client = await AdminClient.find(options);
  const { tenant, limit, after } = options;
  const query = { ...filterOf(options), tenant, limit, after };
  const page = await client.get<{ items: Row[]; next: string | null }>("/dead-letters", query);
  if (options.json === true) {
    printJson(page);
    return;
  }
  const columns = ["id", "died_at", "event_type", "stage", "code", "message"];
  printRows(page.items, columns, "There are no dead letters.");
  if (page.next !== null) printNote(`\nmore: add --after ${page.next}`);
}

/** `dlq groups`: what goes wrong, how often, since when. */
export async function listGroups(options: LetterOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const items = await groupsOf(client, options);
  if (options.json === true) printJson({ items });
  else {
    const columns = ["tenant", "sink", "fingerprint", "events", "first_at", "last_at", "code", "message"];
    printRows(items, columns, "There are no dead letters.");
  }
}

/** `dlq show`: the whole record, the event byte for byte. */
export async function showDeadLetter(id: string, options: AdminOptions): Promise<void> {
  const parts = id.split("/");
  if (parts.length !== ID_PARTS) {
    const next = "ids look like demo/0/raw/17; `pulsegate dlq list` shows them";
    throw new Failure(`${id} is no id of a dead letter`, { exitCode: EXIT.usage, next });
  }
  const client = await AdminClient.find(options);
  const text = await client.text(`/dead-letters${pathOf(...parts)}`);
  if (options.json === true) {
    printLine(text);
    return;
  }
  // The event is cut out of the text, not parsed and written again: numbers beyond 2^53 must survive.
  // The first such place is the record's own; a later one may be the payload's.
  const at = text.indexOf(',"event":{"received_at":');
  const { attempts, ...record } = JSON.parse(at === -1 ? text : `${text.slice(0, at)}}`) as Row & { attempts: Row[] };
  printFields(record);
  printLine();
  printRows(attempts, ["at", "reason"], "No attempt is recorded.");
  if (at !== -1) printLine(`\nevent\n${withoutControls(text.slice(at + ',"event":'.length, -1))}`);
}

export interface RedriveOptions extends LetterOptions {
  readonly canary?: number;
  readonly threshold: number;
  readonly rate?: number;
  readonly yes?: boolean;
}

/** `dlq redrive`: counts, asks, delivers again, tells what came of it. Fails when some fail again or the canary does. */
export async function redrive(ids: readonly string[], options: RedriveOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant ?? ids[0]?.split("/")[0]);
  const { canary, threshold, rate, sink, yes } = options;
  const { from, to, stage, fingerprint, type } = options;
  const job = await client.post<JobView>(`/tenants${pathOf(tenant)}/jobs`, {
    body: {
      kind: "redrive",
      selection: {
        received_from: from,
        received_to: to,
        stage,
        fingerprint,
        event_type: type,
        letters: ids.length === 0 ? undefined : ids,
      },
      sinks: sink === undefined ? undefined : [sink],
      rate: rate === undefined ? undefined : { events_per_second: rate },
      canary: canary === undefined ? undefined : { events: canary, share: threshold },
    },
  });
  const first = canary === undefined ? "" : `, ${canary} of them first as a canary`;
  const what = `${job.events} dead letter(s) of tenant ${tenant} are to be delivered again${first}.`;
  if (ids.length > job.events) await tellOfMissing(client, job, ids.length);
  if (job.events === 0 && !job.is_estimate) await tellOfNone(client, job);
  if (job.events > 1) await agreedOrCancelled(client, job, what, yes === true);
  await client.post(`/jobs${pathOf(job.id)}/start`);
  await watchJob(client, job.id, options);
}

/** Fails, and leaves no job behind, when none of the letters that were named is there. */
async function tellOfMissing(client: AdminClient, { id, events }: JobView, named: number): Promise<void> {
  const missing = `${named - events} of the ${named} that are named are no dead letters, or not any more`;
  if (events > 0) return printNote(missing);
  await client.post(`/jobs${pathOf(id)}/cancel`);
  throw new Failure("there is nothing to redrive", { why: missing, next: "pulsegate dlq list" });
}

/** Leaves no job behind: one that had nothing to do would look like a success. */
async function tellOfNone(client: AdminClient, { id, tenant }: JobView): Promise<never> {
  await client.post(`/jobs${pathOf(id)}/cancel`);
  const why = `tenant ${tenant} has no dead letter like this`;
  throw new Failure("there is nothing to redrive", { why, next: "pulsegate dlq groups" });
}

/** A job that nobody agreed to does not stay behind. */
export async function agreedOrCancelled(
  client: AdminClient,
  { id }: JobView,
  what: string,
  isAgreed: boolean,
): Promise<void> {
  try {
    await confirm(what, isAgreed);
  } catch (error) {
    await client.post(`/jobs${pathOf(id)}/cancel`);
    throw error;
  }
}

export interface DiscardOptions extends LetterOptions {
  readonly reason: string;
  readonly all?: boolean;
  readonly yes?: boolean;
}

/** `dlq discard`: removes dead letters for good, after telling how many. */
export async function discard(ids: readonly string[], options: DiscardOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant ?? ids[0]?.split("/")[0]);
  const filter = filterOf(options);
  const isChosen = ids.length > 0 || Object.values(filter).some((value) => value !== undefined);
  if (!isChosen && options.all !== true) {
    const next = "name ids, --fingerprint, --sink, --stage, --type, or say --all";
    throw new Failure("which dead letters?", { exitCode: EXIT.usage, next });
  }
  const groups = ids.length > 0 ? [] : await groupsOf(client, { ...options, tenant });
  const events = ids.length > 0 ? ids.length : groups.reduce((sum, group) => sum + group.events, 0);
  const what = `${events} dead letter(s) of tenant ${tenant} are to be removed for good, their events with them.`;
  if (events > 1) await confirm(what, options.yes === true);
  const body = { ...filter, letters: ids.length === 0 ? undefined : ids, all: options.all, reason: options.reason };
  const result = await client.post<{ discarded: number }>(`/tenants${pathOf(tenant)}/dead-letters/discard`, { body });
  if (options.json === true) printJson(result);
  else printLine(`discarded ${result.discarded}`);
}

type Group = Row & { readonly events: number };

async function groupsOf(client: AdminClient, options: LetterOptions): Promise<Group[]> {
  return client.all<Group>("/dead-letters/groups", { ...filterOf(options), tenant: options.tenant });
}

function filterOf({ sink, stage, fingerprint, type, from, to }: LetterOptions) {
  return { sink, stage, fingerprint, event_type: type, received_from: from, received_to: to };
}
