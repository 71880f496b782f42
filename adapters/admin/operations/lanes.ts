import { z } from "zod";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { holdOf, laneHolds, putHold } from "../../../core/ingestion/lane-holds.ts";
import { auditLane } from "../../../core/ingestion/ledger.ts";
import type { LaneId, LaneState, StreamBounds } from "../../../core/ingestion/log.ts";
import { laneKey, streamKey } from "../../../core/ingestion/log.ts";
import { dropOrphan, isOrphan } from "../../../core/ingestion/orphans.ts";
import { changeAudited } from "../change.ts";
import { laneOfPath, PAGE, pageOf, TENANT } from "../input.ts";
import { operation } from "../operation.ts";
import type { Answer, Call } from "../operation.ts";
import type { AdminPorts } from "../ports.ts";
import {
  AcceptedLossSchema,
  DroppedLaneSchema,
  LaneAuditSchema,
  LaneSchema,
  LedgerSchema,
  pageSchema,
} from "../schemas.ts";
import { laneAuditView, laneView, ledgerView } from "../views.ts";
import type { LaneNow } from "../views.ts";

const PATH = "/lanes/{tenant}/{partition}/{sink}";
const REASON = z.string().min(1).max(1_000);

const listLanes = operation({
  id: "list_lanes",
  method: "GET",
  path: "/lanes",
  summary: "List lanes with their place in the log and what holds them up",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...PAGE }),
  response: pageSchema(LaneSchema),
  handle: async ({ tenantId, query }, ports) => {
    const page = await lanePage(ports, tenantId, query);
    const holds = await laneHolds(ports.control);
    const status = await statusByLane(ports);
    const items = page.items.map((now) => {
      const key = keyOf(now);
      return laneView(now, { status: status.get(key), hold: holds.get(key)?.hold, orphan: isOrphaned(now, ports) });
    });
    return { body: { ...page, items } };
  },
});

const showLane = operation({
  id: "show_lane",
  method: "GET",
  path: PATH,
  summary: "Show one lane",
  role: "viewer",
  scope: "tenant",
  response: LaneSchema,
  errors: ["not_found"],
  handle: async (call, ports) => laneAnswer(ports, await laneOf(call, ports)),
});

const pauseLane = operation({
  id: "pause_lane",
  method: "POST",
  path: `${PATH}/pause`,
  summary: "Let a lane deliver nothing more, until it is resumed; what comes for it waits in the log",
  description: "Holds across restarts. Answers when the lane starts no further delivery.",
  role: "operator",
  scope: "tenant",
  body: z.strictObject({ reason: REASON.optional() }),
  ifMatch: "optional",
  response: LaneSchema,
  errors: ["not_found", "precondition_failed"],
  handle: async (call, ports) => hold(call, ports, { paused: true, reason: call.body.reason }),
});

const resumeLane = operation({
  id: "resume_lane",
  method: "POST",
  path: `${PATH}/resume`,
  summary: "Let a paused lane go on from where it stood",
  role: "operator",
  scope: "tenant",
  body: z.strictObject({ reason: REASON.optional() }),
  ifMatch: "optional",
  response: LaneSchema,
  errors: ["not_found", "precondition_failed"],
  handle: async (call, ports) => hold(call, ports, { paused: false, reason: call.body.reason }),
});

const skipPosition = operation({
  id: "skip_position",
  method: "POST",
  path: `${PATH}/skip`,
  summary: "Make the event at a paused lane's cursor a dead letter, so that the lane can go on behind it",
  description: "The event is kept and can be redriven. `sequence` must be the cursor: nothing is skipped by mistake.",
  role: "operator",
  scope: "tenant",
  body: z.strictObject({ sequence: z.int().min(0), reason: REASON }),
  response: LaneSchema,
  errors: ["not_found", "conflict"],
  handle: async (call, ports) => {
    const lane = await laneOf(call, ports);
    const { sequence, reason } = call.body;
    const { hold: held } = await holdOf(ports.control, lane);
    if (held?.paused !== true) throw new PulseGateError("conflict", `the lane ${laneKey(lane)} runs: pause it first`);
    return changeAudited(call, ports, {
      action: "skip_position",
      target: `lanes/${laneKey(lane)}`,
      tenantId: lane.stream.tenantId,
      reason,
      before: { cursor: sequence },
      make: async () => {
        await ports.workers.skip(lane, sequence, reason);
        return { ...(await laneAnswer(ports, lane)), after: { dead_letter: `${laneKey(lane)}/${sequence}` } };
      },
    });
  },
});

const dropLane = operation({
  id: "drop_lane",
  method: "DELETE",
  path: PATH,
  summary: "Forget a lane whose sink is gone: what it has not delivered is given up, its dead letters are removed",
  description:
    "Only for a lane in the state `orphan`; that it was paused is forgotten, too. If the sink comes back, its lane begins anew.",
  role: "admin",
  scope: "tenant",
  response: DroppedLaneSchema,
  errors: ["not_found", "conflict"],
  handle: async (call, ports) => {
    const lane = await laneOf(call, ports);
    return changeAudited(call, ports, {
      action: "drop_lane",
      target: `lanes/${laneKey(lane)}`,
      tenantId: lane.stream.tenantId,
      before: await ports.lanes.loadLane(lane),
      make: async () => {
        const state = await dropOrphan(lane, { ...ports, tenants: ports.revision().tenants });
        const { end } = await ports.reader.bounds(lane.stream);
        await ports.workers.holdsChanged();
        const dropped = { id: laneKey(lane), given_up: Math.max(0, end - state.cursor), dead: state.dead };
        return { body: dropped, after: dropped };
      },
    });
  },
});

const resetLanes = operation({
  id: "reset_lanes",
  method: "POST",
  path: "/lanes/reset",
  summary: "Accept that the log's backend lost what it held: lanes go on behind what is gone",
  description:
    "Ends the alarm `lost`. Nothing that is still there is touched; undelivered events that are gone are `erased`.",
  role: "admin",
  scope: "global",
  body: z.strictObject({ reason: REASON.optional() }),
  response: AcceptedLossSchema,
  errors: ["conflict"],
  handle: async (call, ports) => {
    const { acceptLoss } = ports;
    if (acceptLoss === undefined)
      throw new PulseGateError("conflict", "this log has no backend that could lose a part");
    return changeAudited(call, ports, {
      action: "reset_lanes",
      target: "lanes",
      reason: call.body.reason,
      make: async () => {
        const loss = await acceptLoss();
        return { body: loss, after: loss };
      },
    });
  },
});

const showLedger = operation({
  id: "show_ledger",
  method: "GET",
  path: "/ledger",
  summary: "Account for every event of every lane",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...PAGE }),
  response: pageSchema(LedgerSchema),
  handle: async ({ tenantId, query }, ports) => {
    const page = await lanePage(ports, tenantId, query);
    return { body: { ...page, items: page.items.map(ledgerView) } };
  },
});

const auditLedger = operation({
  id: "audit_ledger",
  method: "GET",
  path: "/ledger/audit",
  summary: "Count every lane anew, from the log itself, and compare with the ledger",
  description: "Reads all that was kept of each lane, and every event that is pending: it may take a while.",
  role: "operator",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...PAGE }),
  response: pageSchema(LaneAuditSchema),
  handle: async ({ tenantId, query }, ports) => {
    const page = pageOf(await ports.lanes.lanes(tenantId), ({ lane }) => laneKey(lane), query);
    const items = [];
    for (const { lane } of page.items) {
      const audit = await auditLane(ports, lane);
      if (audit !== undefined) items.push(laneAuditView(audit));
    }
    return { body: { items, next: page.next } };
  },
});

export const LANE_OPERATIONS = [
  listLanes,
  showLane,
  pauseLane,
  resumeLane,
  skipPosition,
  dropLane,
  resetLanes,
  showLedger,
  auditLedger,
];

async function hold(
  call: Call<unknown, unknown>,
  ports: AdminPorts,
  { paused, reason }: { readonly paused: boolean; readonly reason: string | undefined },
): Promise<Answer> {
  const lane = await laneOf(call, ports);
  const { hold: before } = await holdOf(ports.control, lane);
  return changeAudited(call, ports, {
    action: paused ? "pause_lane" : "resume_lane",
    target: `lanes/${laneKey(lane)}`,
    tenantId: lane.stream.tenantId,
    reason,
    before: { paused: before?.paused ?? false },
    make: async () => {
      const next = { paused, reason, by: call.who.id, at: ports.clock.now() };
      await putHold(ports.control, lane, { hold: next, expected: call.ifMatch });
      await ports.workers.holdsChanged();
      return { ...(await laneAnswer(ports, lane)), after: { paused } };
    },
  });
}

/** Rejects with `not_found` when the log has no such lane. */
async function laneOf({ params }: Call<unknown, unknown>, { lanes }: AdminPorts): Promise<LaneId> {
  const lane = laneOfPath(params);
  if ((await lanes.loadLane(lane)) !== undefined) return lane;
  throw new PulseGateError("not_found", `there is no lane ${laneKey(lane)}`);
}

async function laneAnswer(ports: AdminPorts, lane: LaneId): Promise<Answer> {
  const state = await ports.lanes.loadLane(lane);
  if (state === undefined) throw new PulseGateError("not_found", `there is no lane ${laneKey(lane)}`);
  const { hold: held, version } = await holdOf(ports.control, lane);
  const status = (await statusByLane(ports)).get(laneKey(lane));
  const bounds = await ports.reader.bounds(lane.stream);
  const now = nowOf(lane, state, bounds);
  return { body: laneView(now, { status, hold: held, orphan: isOrphaned(now, ports) }), version };
}

function isOrphaned({ tenantId, partition, sink }: LaneNow, ports: AdminPorts): boolean {
  return isOrphan({ stream: { tenantId, partition }, sink }, ports.revision().tenants);
}

async function statusByLane({ workers }: AdminPorts) {
  return new Map((await workers.status()).map((one) => [keyOf(one), one]));
}

async function lanePage(
  ports: AdminPorts,
  tenantId: string | undefined,
  query: { limit: number; after?: string | undefined },
) {
  const all = await ports.lanes.lanes(tenantId);
  const page = pageOf(all, ({ lane }) => laneKey(lane), query);
  return { ...page, items: await withBounds(ports, page.items) };
}

async function withBounds(
  { reader }: AdminPorts,
  lanes: ReadonlyArray<{ readonly lane: LaneId; readonly state: LaneState }>,
): Promise<LaneNow[]> {
  const bounds = new Map<string, Promise<StreamBounds>>();
  // Asked for after the lanes were read, so that no cursor can lie behind the end.
  for (const { lane } of lanes) {
    const key = streamKey(lane.stream);
    if (!bounds.has(key)) bounds.set(key, reader.bounds(lane.stream));
  }
  return Promise.all(
    lanes.map(async ({ lane, state }) => {
      return nowOf(lane, state, await (bounds.get(streamKey(lane.stream)) as Promise<StreamBounds>));
    }),
  );
}

function nowOf({ stream, sink }: LaneId, state: LaneState, bounds: StreamBounds): LaneNow {
  return { tenantId: stream.tenantId, partition: stream.partition, sink, state, bounds };
}

function keyOf({ tenantId, partition, sink }: { tenantId: string; partition: number; sink: string }): string {
  return laneKey({ stream: { tenantId, partition }, sink });
}
