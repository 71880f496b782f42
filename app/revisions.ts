import { createHash } from "node:crypto";
import type { ControlStore } from "../core/ingestion/log.ts";
import type { Revision } from "../core/ingestion/revision.ts";

const KEY = "config/revision";

interface Stored {
  readonly number: number;
  /** SHA-256 of the configuration's data: nothing of it, secrets least of all, is kept. */
  readonly digest: string;
}

/**
 * Gives a configuration its number: the one it had when it is the same as the newest, else the next.
 * Kept in the log's backend, so that settlements of different lives of the process can be told apart.
 */
export async function numberRevision(control: ControlStore, draft: Omit<Revision, "number">): Promise<Revision> {
  const digest = createHash("sha256").update(JSON.stringify(draft)).digest("hex");
  const current = await control.get(KEY);
  const stored = current?.value as Stored | undefined;
  if (stored?.digest === digest) return { ...draft, number: stored.number };
  const next: Stored = { number: (stored?.number ?? 0) + 1, digest };
  await control.put(KEY, next, current?.version ?? 0);
  return { ...draft, number: next.number };
}
