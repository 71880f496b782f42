import { readRuntimeFile } from "../runtime-file.ts";
import type { RuntimeFile } from "../runtime-file.ts";
import { EXIT, Failure } from "./failure.ts";

export const ADMIN_HINT =
  "start one with `pulsegate dev`, or point PULSEGATE_ADMIN_URL and PULSEGATE_ADMIN_TOKEN at it";
/** For those who send events: where the data port is, is told in another way. */
export const DATA_HINT = "start one with `pulsegate dev`, or point --url (or PULSEGATE_URL) at it";

/** Where a running PulseGate's admin API is, and the token for it. */
export interface AdminAddress {
  readonly url: string;
  readonly token: string;
}

/** The environment's address, else the dev instance's on this data folder. */
export async function findAdmin(dataDir: string): Promise<AdminAddress> {
  // What is set to nothing is not set.
  const url = process.env.PULSEGATE_ADMIN_URL || undefined;
  const token = process.env.PULSEGATE_ADMIN_TOKEN || undefined;
  if (url !== undefined && !/^https?:$/.test(URL.parse(url)?.protocol ?? ""))
    throw new Failure(`PULSEGATE_ADMIN_URL is no http URL: ${url}`, { exitCode: EXIT.usage, next: ADMIN_HINT });
  if (url !== undefined && token !== undefined) return { url, token };
  if (url !== undefined || token !== undefined) {
    const missing = url === undefined ? "PULSEGATE_ADMIN_URL" : "PULSEGATE_ADMIN_TOKEN";
    throw new Failure(`${missing} is not set`, { exitCode: EXIT.usage, next: `set ${missing} as well` });
  }
  const runtime = await findInstance(dataDir);
  if (runtime === undefined) {
    const why = `no instance runs on the data folder ${dataDir}`;
    throw new Failure("found no PulseGate to ask", { exitCode: EXIT.unreachable, why, next: ADMIN_HINT });
  }
  return { url: runtime.opsUrl, token: runtime.adminToken };
}

/** The dev instance on a data folder, if one runs; a damaged or unreadable file is a failure. */
export async function findInstance(dataDir: string): Promise<RuntimeFile | undefined> {
  try {
    return await readRuntimeFile(dataDir);
  } catch (error) {
    throw new Failure(`can't read ${dataDir}/runtime.json`, { why: (error as Error).message });
  }
}

/** As `fetch`, but a server that can't be reached is told as such, with the next step. */
export async function reach(url: string, init: RequestInit, next: string): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    const why = cause?.code ?? cause?.message ?? (error as Error).message;
    const at = new URL(url).origin;
    throw new Failure(`could not reach PulseGate at ${at}`, { exitCode: EXIT.unreachable, why, next });
  }
}

/** What to do about a refusal; where there is nothing here the server's words say it. */
const NEXT_STEPS: Readonly<Record<number, string>> = {
  400: "mend what is named there; `--help` shows the options",
  401: "check the token (PULSEGATE_ADMIN_TOKEN) or the key (--key)",
  403: "use a token that may do this (PULSEGATE_ADMIN_TOKEN)",
  404: "check the name; the `list` commands tell what there is",
  409: "look how it stands (`show` or `list`), then decide anew",
  412: "look at it again, then repeat the command",
  503: "try again in a moment",
};

/** A refusal in the server's own words. */
export function problemFailure(response: Response, text: string): Failure {
  const problem = parseProblem(text);
  // The first of them stands in `detail` as well.
  const details = (problem.errors ?? []).map(violationText);
  const why = details.length === 0 ? (problem.detail ?? "") : details.join("; ");
  const next = NEXT_STEPS[response.status];
  return new Failure(`${response.status} ${problem.title ?? response.statusText}`, {
    ...(why === "" ? {} : { why }),
    ...(next === undefined ? {} : { next }),
  });
}

/** Where and what; an empty pointer is the whole body. */
export function violationText({ pointer = "", detail = "" }: ProblemViolation): string {
  return pointer === "" ? detail : `${pointer}: ${detail}`;
}

interface ProblemViolation {
  readonly pointer?: string;
  readonly detail?: string;
}

export interface ProblemDocument {
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly retryable?: boolean;
  readonly errors?: readonly ProblemViolation[];
}

export function parseProblem(text: string): ProblemDocument {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
