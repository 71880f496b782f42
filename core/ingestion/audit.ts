import { readDocument, updateDocument } from "./control.ts";
import { PulseGateError } from "../canonical/errors.ts";
import type { ControlStore } from "./log.ts";

/** One change that somebody made, or tried to make. */
export interface AuditEntry {
  /** Rises by one. */
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly who: { readonly id: string; readonly role: string; readonly address?: string | undefined };
  /** The operation, e.g. `pause_lane`. */
  readonly action: string;
  /** What it was done to, e.g. `lanes/shop/0/raw`. */
  readonly target: string;
  /** Undefined where the change belongs to no tenant. */
  readonly tenantId?: string | undefined;
  readonly reason?: string | undefined;
  /** `unknown`: the process ended before the outcome was written. */
  readonly outcome: "done" | "failed" | "unknown";
  /** The error's code, if it failed. */
  readonly error?: string | undefined;
  /** Without secrets. */
  readonly before?: unknown;
  readonly after?: unknown;
}

export type Intent = Pick<AuditEntry, "at" | "who" | "action" | "target" | "tenantId" | "reason" | "before">;

/** So many entries are kept; then the oldest give way. */
export const AUDIT_ENTRIES_MAX = 10_000;

const HEAD = "audit/head";

interface Head {
  readonly next: number;
}

/**
 * Makes a change and keeps who made it: the entry is durable before the change begins, and its
 * outcome before this resolves. So there is no change without an entry, whatever dies when.
 */
export async function audited<T>(
  control: ControlStore,
  intent: Intent,
  change: () => Promise<{ readonly result: T; readonly after: unknown }>,
): Promise<T> {
  const entry = await append(control, intent);
  try {
    const { result, after } = await change();
    await finish(control, { ...entry, outcome: "done", after });
    return result;
  } catch (error) {
    const code = error instanceof PulseGateError ? error.code : "internal";
    await finish(control, { ...entry, outcome: "failed", error: code });
    throw error;
  }
}

/** The newest first, those before `before` (a sequence). */
export async function auditEntries(
  control: ControlStore,
  page: { readonly before?: number | undefined; readonly limit: number; readonly tenantId?: string | undefined },
): Promise<AuditEntry[]> {
  const next = (await readDocument<Head>(control, HEAD)).value?.next ?? 0;
  const oldest = Math.max(0, next - AUDIT_ENTRIES_MAX);
  const entries: AuditEntry[] = [];
  for (let at = Math.min(next, page.before ?? next) - 1; at >= oldest && entries.length < page.limit; at--) {
    const entry = (await readDocument<AuditEntry>(control, keyOf(at))).value;
    // Its place may have been taken by a newer one while we read.
    if (entry?.sequence !== at) continue;
    if (page.tenantId === undefined || entry.tenantId === page.tenantId) entries.push(entry);
  }
  return entries;
}

/** The number is taken first: an entry whose process died in between is a gap, never another's place. */
async function append(control: ControlStore, intent: Intent): Promise<AuditEntry> {
  const head = await updateDocument<Head>(control, HEAD, { change: (known) => ({ next: (known?.next ?? 0) + 1 }) });
  const entry: AuditEntry = { ...intent, sequence: head.value.next - 1, outcome: "unknown" };
  await updateDocument<AuditEntry>(control, keyOf(entry.sequence), { change: () => entry });
  return entry;
}

async function finish(control: ControlStore, entry: AuditEntry): Promise<void> {
  await updateDocument<AuditEntry>(control, keyOf(entry.sequence), {
    change: (kept) => (kept !== undefined && kept.sequence > entry.sequence ? kept : entry),
  });
}

function keyOf(sequence: number): string {
  return `audit/entry/${String(sequence % AUDIT_ENTRIES_MAX).padStart(5, "0")}`;
}
