import { parsePosition } from "../../core/ingestion/log.ts";
import type { Fate } from "../../core/ingestion/fate.ts";
import { EXIT, Failure } from "./failure.ts";
import { confirm } from "./confirm.ts";
import { askAdmin, findAdmin, getAdmin } from "./instance.ts";
import { printJson, printLine, printNote, printRows, textOf } from "./print.ts";
import type { Row } from "./print.ts";
import { withoutControls } from "./table.ts";

export interface AdminOptions {
  readonly data: string;
  readonly json?: boolean;
}

type TenantFate = Fate & { readonly tenant: string };

/** `events get`: the story of one event. Fails when no tenant has it. */
export async function getEvent(idOrPosition: string, options: AdminOptions & { tenant?: string }): Promise<void> {
  const address = await findAdmin(options.data);
  const tenant = options.tenant ?? parsePosition(idOrPosition)?.stream.tenantId;
  const fates =
    tenant === undefined
      ? itemsOf<TenantFate>(await getAdmin(address, `/admin/v1/events?id=${encodeURIComponent(idOrPosition)}`))
      : [JSON.parse(await getAdmin(address, eventPath(tenant, idOrPosition))) as TenantFate];
  if (fates.length === 0) {
    const next = "check the id; events are kept until every lane has settled them and `log.retention` has passed";
    throw new Failure(`no tenant has an event ${idOrPosition}`, { exitCode: EXIT.failed, next });
  }
  if (options.json === true) printJson(fates.length === 1 ? fates[0] : fates);
  else for (const fate of fates) printFate(fate);
}

function eventPath(tenant: string, idOrPosition: string): string {
  return `/admin/v1/events/${encodeURIComponent(tenant)}/${encodeURIComponent(idOrPosition)}`;
}

function printFate(fate: TenantFate): void {
  printFields({
    event_id: fate.event_id,
    event_type: fate.event_type,
    tenant: fate.tenant,
    position: fate.position,
    received_at: fate.received_at,
    trace_id: fate.trace_id,
  });
  printLine();
  const rows = fate.lanes.map((lane) => ({
    ...lane,
    revision: lane.config_revision,
    why: lane.reason ?? (lane.dead_letter === undefined ? "" : `${lane.dead_letter.code} ${lane.dead_letter.message}`),
  }));
  printRows(rows, ["sink", "status", "settled_at", "revision", "why"], "The tenant has no sinks.");
}

export interface ListOptions extends AdminOptions {
  readonly tenant?: string;
  readonly sink?: string;
  readonly limit: number;
  readonly after?: string;
}

/** `dlq list`: one page of dead letters. */
export async function listDeadLetters(options: ListOptions): Promise<void> {
  const query = new URLSearchParams({ limit: String(options.limit) });
  for (const name of ["tenant", "sink", "after"] as const) {
    const value = options[name];
    if (value !== undefined) query.set(name, value);
  }
  const text = await getAdmin(await findAdmin(options.data), `/admin/v1/dead-letters?${query.toString()}`);
  const page = JSON.parse(text) as { items: Row[]; next: string | null };
  if (options.json === true) {
    printJson(page);
    return;
  }
  // The sink stands in the id; the stage in `dlq show`.
  const columns = ["id", "died_at", "event_type", "code", "message"];
  const rows = page.items.map((item) => ({ ...item, died_at: inTwoWords(item.died_at) }));
  printRows(rows, columns, "There are no dead letters.");
  if (page.next !== null) printNote(`\nmore: add --after ${page.next}`);
}

/** An instant to the second that a narrow column can break between date and time. */
function inTwoWords(instant: unknown): string {
  return `${String(instant).slice(0, 19).replace("T", " ")}Z`;
}

/** `dlq show`: the whole record, the event byte for byte. */
export async function showDeadLetter(id: string, options: AdminOptions): Promise<void> {
  const path = `/admin/v1/dead-letters/${id.split("/").map(encodeURIComponent).join("/")}`;
  const text = await getAdmin(await findAdmin(options.data), path);
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

/** `lanes list`. */
export async function listLanes(options: AdminOptions): Promise<void> {
  const columns = ["id", "state", "cursor", "end", "lag_events", "breaker", "last_error"];
  await listItems("/admin/v1/lanes", { ...options, columns, empty: "There are no lanes: no tenant has a sink." });
}

/** `lanes drop`: gives up what a lane without a sink keeps, after asking. */
export async function dropLane(id: string, options: AdminOptions & { readonly yes?: boolean }): Promise<void> {
  const address = await findAdmin(options.data);
  const path = `/admin/v1/lanes/${id.split("/").map(encodeURIComponent).join("/")}`;
  const lane = JSON.parse(await getAdmin(address, path)) as LaneRow;
  // One in use is refused by the server: there is nothing to agree to.
  if (lane.state === "orphan") {
    const loss = `${lane.lag_events} undelivered event(s) and ${lane.dead} dead letter(s) of ${id} are given up.`;
    await confirm(loss, options.yes === true);
  }
  const dropped = JSON.parse(await askAdmin(address, path, "DELETE")) as { given_up: number; dead: number };
  if (options.json === true) printJson(dropped);
  else printLine(`dropped ${id}: ${dropped.given_up} event(s) and ${dropped.dead} dead letter(s) given up`);
}

interface LaneRow extends Row {
  readonly id: string;
  readonly state: "running" | "paused" | "orphan";
  readonly lag_events: number;
  readonly dead: number;
}

/** `ledger`: fails when a lane does not balance, so that scripts can rely on it. */
export async function showLedger(options: AdminOptions & { tenant?: string }): Promise<void> {
  const columns = ["tenant", "sink", "accepted", "delivered", "filtered", "dead", "erased", "pending", "imbalance"];
  const empty = "There are no lanes: no tenant has a sink.";
  const items = await listItems("/admin/v1/ledger", { ...options, columns, empty });
  const wrong = items.filter((item) => item.imbalance !== 0);
  if (wrong.length > 0) {
    throw new Failure(`${wrong.length} lane(s) do not balance`, {
      why: "accepted is not the sum of delivered, filtered, dead, erased and pending",
      next: "keep the data folder as it is and report it",
    });
  }
}

interface ItemsOptions extends AdminOptions {
  readonly tenant?: string;
  readonly columns: readonly string[];
  readonly empty: string;
}

async function listItems(path: string, options: ItemsOptions): Promise<Row[]> {
  const items = await allItems(path, options);
  if (options.json === true) printJson({ items });
  else printRows(items, options.columns.filter(isTold(items)), options.empty);
  return items;
}

const PAGE_MAX = 500;

/** Of all pages. */
async function allItems(path: string, { data, tenant }: ItemsOptions): Promise<Row[]> {
  const address = await findAdmin(data);
  const query = new URLSearchParams({ limit: String(PAGE_MAX), ...(tenant === undefined ? {} : { tenant }) });
  const items: Row[] = [];
  for (;;) {
    const page = JSON.parse(await getAdmin(address, `${path}?${query.toString()}`)) as {
      items: Row[];
      next: string | null;
    };
    items.push(...page.items);
    if (page.next === null) return items;
    query.set("after", page.next);
  }
}

/** Nobody has erased anything and no lane has an error, mostly: the column is left out then, for the width of a terminal. */
function isTold(items: readonly Row[]): (column: string) => boolean {
  return (column) => {
    if (column === "erased") return items.some((item) => item.erased !== 0);
    return column !== "last_error" || items.some((item) => item.last_error !== undefined);
  };
}

function itemsOf<T>(text: string): T[] {
  return (JSON.parse(text) as { items: T[] }).items;
}

function printFields(fields: Row): void {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const label = Math.max(...shown.map(([name]) => name.length));
  for (const [name, value] of shown) printLine(`${name.padEnd(label)}  ${withoutControls(textOf(value))}`);
}
