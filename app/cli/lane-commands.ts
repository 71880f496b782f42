import { AdminClient, pathOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { confirm } from "./confirm.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine, printRows } from "./print.ts";
import type { Row } from "./print.ts";

type TenantOptions = AdminOptions & { readonly tenant?: string };

/** `lanes drop`: gives up what a lane without a sink keeps, after asking. */
export async function dropLane(id: string, options: AdminOptions & { readonly yes?: boolean }): Promise<void> {
  const client = await AdminClient.find(options);
  const path = lanePath(id);
  const lane = await client.get<LaneView>(path);
  // One in use is refused by the server: there is nothing to agree to.
  if (lane.state === "orphan") {
    const loss = `${lane.lag_events} undelivered event(s) and ${lane.dead} dead letter(s) of ${id} are given up.`;
    await confirm(loss, options.yes === true);
  }
  const response = await client.send("DELETE", path, {});
  const dropped = (await response.json()) as { given_up: number; dead: number };
  if (options.json === true) printJson(dropped);
  else printLine(`dropped ${id}: ${dropped.given_up} event(s) and ${dropped.dead} dead letter(s) given up`);
}

/** `lanes reset`: accepts that the log's backend lost what it held. */
export async function resetLanes(options: AdminOptions & { readonly confirm?: boolean }): Promise<void> {
  const client = await AdminClient.find(options);
  await confirm("What the log's backend lost is given up for good.", options.confirm === true);
  const loss = await client.post<{ streams: number; lanes: number; events: number }>("/lanes/reset", { body: {} });
  if (options.json === true) printJson(loss);
  else printLine(`accepted: ${loss.streams} stream(s) lost, ${loss.events} event(s) of ${loss.lanes} lane(s) given up`);
}

/** `lanes list`. */
export async function listLanes(options: TenantOptions): Promise<void> {
  const items = await (await AdminClient.find(options)).all<Row>("/lanes", { tenant: options.tenant });
  const columns = ["id", "state", "cursor", "end", "lag_events", "breaker", "last_error"];
  if (options.json === true) printJson({ items });
  else printRows(items, columns.filter(isTold(items)), "There are no lanes: no tenant has a sink.");
}

interface LaneView {
  readonly id: string;
  readonly state: string;
  readonly cursor: number;
  readonly lag_events: number;
  readonly dead: number;
}

/** `lanes pause` and `resume`. */
export async function holdLane(
  lane: string,
  action: "pause" | "resume",
  options: AdminOptions & { readonly reason?: string },
): Promise<void> {
  const client = await AdminClient.find(options);
  const body = { reason: options.reason };
  print(await client.post<LaneView>(`${lanePath(lane)}/${action}`, { body }), options);
}

/** `lanes skip`: the event at the cursor becomes a dead letter. */
export async function skipPosition(
  lane: string,
  sequence: number,
  options: AdminOptions & { readonly reason: string },
): Promise<void> {
  const client = await AdminClient.find(options);
  const body = { sequence, reason: options.reason };
  print(await client.post<LaneView>(`${lanePath(lane)}/skip`, { body }), options);
  if (options.json !== true) printLine(`skipped: pulsegate dlq show ${lane}/${sequence}`);
}

function lanePath(lane: string): string {
  const parts = lane.split("/");
  if (parts.length === 3) return `/lanes${pathOf(...parts)}`;
  const next = "give it as TENANT/PARTITION/SINK, as in `pulsegate lanes list`";
  throw new Failure(`${lane} names no lane`, { exitCode: EXIT.usage, next });
}

function print(lane: LaneView, { json }: AdminOptions): void {
  if (json === true) printJson(lane);
  else printLine(`${lane.id}  ${lane.state}, at ${lane.cursor}, ${lane.lag_events} event(s) behind`);
}

interface Entry extends Row {
  readonly partition: number;
  readonly imbalance?: number;
  readonly faults?: readonly string[];
}

/** `ledger`: fails when a lane does not balance, so that scripts can rely on it; `--audit` counts from the log itself. */
export async function showLedger(options: TenantOptions & { readonly audit?: boolean }): Promise<void> {
  const client = await AdminClient.find(options);
  const isAudit = options.audit === true;
  const items = await client.all<Entry>(isAudit ? "/ledger/audit" : "/ledger", { tenant: options.tenant });
  const counts = ["accepted", "delivered", "filtered", "dead", "erased", "pending"];
  // Lanes of one sink differ by their partition, where there are several.
  const names = items.some(({ partition }) => partition !== 0) ? ["lane"] : ["tenant", "sink"];
  const columns = [...names, ...counts, isAudit ? "faults" : "imbalance"].filter(isTold(items));
  if (options.json === true) printJson({ items });
  else {
    const rows = items.map((item) => ({ ...item, faults: item.faults?.length }));
    printRows(rows, columns, "There are no lanes: no tenant has a sink.");
  }
  const wrong = items.filter((item) => (isAudit ? item.faults?.length !== 0 : item.imbalance !== 0));
  if (wrong.length === 0) return;
  throw new Failure(`${wrong.length} lane(s) do not balance`, {
    why: isAudit
      ? wrong.flatMap((item) => item.faults ?? []).join("; ")
      : "accepted is not the sum of delivered, filtered, dead, erased and pending",
    next: "keep the data folder as it is and report it",
  });
}

/** Nobody has erased anything and no lane has an error, mostly: the column is left out then, for the width of a terminal. */
function isTold(items: readonly Row[]): (column: string) => boolean {
  return (column) => {
    if (column === "erased") return items.some((item) => item.erased !== 0);
    return column !== "last_error" || items.some((item) => item.last_error !== undefined);
  };
}
