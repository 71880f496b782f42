import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Fate, LaneFate } from "../../core/ingestion/fate.ts";
import { parsePosition } from "../../core/ingestion/log.ts";
import { AdminClient, pathOf, tenantOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { EXIT, Failure } from "./failure.ts";
import { printFields, printJson, printLine, printRows } from "./print.ts";
import { withoutControls } from "./table.ts";

type TenantFate = Fate & { readonly tenant: string };

/** `events get`: the story of one event. Fails when no tenant has it. */
export async function getEvent(idOrPosition: string, options: AdminOptions & { tenant?: string }): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = options.tenant ?? parsePosition(idOrPosition)?.stream.tenantId;
  const fates =
    tenant === undefined
      ? (await client.get<{ items: TenantFate[] }>("/events", { id: idOrPosition })).items
      : [await client.get<TenantFate>(`/events${pathOf(tenant, idOrPosition)}`)];
  if (fates.length === 0) {
    const next = "check the id; events are kept until every lane has settled them and `log.retention` has passed";
    throw new Failure(`no tenant has an event ${idOrPosition}`, { exitCode: EXIT.failed, next });
  }
  if (options.json === true) printJson(fates.length === 1 ? fates[0] : fates);
  else for (const fate of fates) printFate(fate);
}

function printFate(fate: TenantFate): void {
  printFields({
    event_id: fate.event_id,
    event_type: fate.event_type,
    tenant: fate.tenant,
    position: fate.position,
    received_at: fate.received_at,
    trace_id: fate.trace_id,
    erased_at: fate.erased_at,
  });
  printLine();
  const rows = fate.lanes.map((lane) => ({
    ...lane,
    revision: lane.config_revision,
    why: whyOf(lane),
  }));
  printRows(rows, ["sink", "status", "settled_at", "revision", "why"], "The tenant has no sinks.");
  const jobs = fate.lanes.flatMap(({ sink, jobs: touched = [] }) => touched.map((job) => ({ sink, ...job })));
  if (jobs.length === 0) return;
  printLine();
  printRows(jobs, ["job", "sink", "status", "at", "reason"], "");
}

function whyOf({ reason, dead_letter: letter, amended }: LaneFate): string {
  if (letter !== undefined) return `${letter.code} ${letter.message}`;
  if (amended === undefined) return reason ?? "";
  return `${reason ?? "was dead"}; ${amended.job ?? "discarded"} at ${amended.at}`;
}

export interface TailOptions extends AdminOptions {
  readonly tenant?: string;
  readonly type?: string;
  readonly count?: number;
}

/** `events tail`: one line per event as it becomes durable, until interrupted or so many came. */
export async function tailEvents(options: TailOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const tenant = await tenantOf(client, options.tenant);
  const response = await client.send("GET", `/tenants${pathOf(tenant)}/tail`, { query: { type: options.type } });
  if (response.body === null) return;
  const gone = new AbortController();
  let left = options.count ?? Number.POSITIVE_INFINITY;
  await pipeline(
    Readable.fromWeb(response.body),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const line of linesOf(chunks)) {
        if (line === "") continue;
        printLine(options.json === true ? line : shortened(line));
        left -= 1;
        if (left > 0) continue;
        gone.abort();
        return;
      }
    },
    { signal: gone.signal },
  ).catch((error: unknown) => {
    if (!gone.signal.aborted) throw new Failure("PulseGate ended the answer", { why: (error as Error).message });
  });
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** For people: when, what, which, and the payload as it stands. */
function shortened(line: string): string {
  const at = line.indexOf(',"payload":');
  const head = JSON.parse(`${line.slice(0, at)}}`) as Record<string, string>;
  const payload = line.slice(at + ',"payload":'.length, -1);
  return withoutControls(`${head.received_at}  ${head.event_type}  ${head.event_id}  ${payload}`);
}
