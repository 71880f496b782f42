import { setTimeout as pause } from "node:timers/promises";
import type { Aggressors } from "./aggressors.ts";
import { AGGRESSORS, type AggressorKind } from "./kinds.ts";
import type { TrialTenants } from "./tenants.ts";
import { jainIndex, judge, type Limits, type Round, type Row } from "./verdict.ts";
import type { Sight, Victim } from "./victim.ts";

export interface ProofOptions {
  readonly url: string;
  readonly tenants: TrialTenants;
  readonly victim: Victim;
  readonly aggressors: Aggressors;
  /** The aggressors have tenants, and so a sink, of their own. */
  readonly apart: boolean;
  /** Of the victim, in events per second. */
  readonly rate: number;
  readonly windowMs: number;
  readonly rounds: number;
  readonly limits: Limits;
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

export interface ProofResult {
  readonly passed: boolean;
  readonly rows: readonly Row[];
  readonly overload: {
    readonly tenants: number;
    readonly eventsPerSecond: number;
    readonly refused: number;
    readonly jain: number;
  };
  readonly limits: Limits;
}

/** The first requests pay for connections and compiled code; and an aggression needs a moment to be felt. */
const WARM_UP_MS = 1_000;
const FELT_MS = 500;
/** A share shows in what many turns add up to. */
const OVERLOAD_MS_MIN = 3_000;

/** One aggressor after the other, each in windows between quiet ones; then equal tenants at overload. */
export async function prove(options: ProofOptions): Promise<ProofResult> {
  const { limits, rounds, signal } = options;
  await windowOf({ ...options, windowMs: WARM_UP_MS });
  let quiet = await windowOf(options);
  const rows: Row[] = [];
  for (const kind of Object.keys(AGGRESSORS) as AggressorKind[]) {
    const seen: Round[] = [];
    for (let round = 1; round <= rounds; round++) {
      signal.throwIfAborted();
      options.onProgress(`${kind}, round ${round} of ${rounds}`);
      const during = await under(kind, options);
      const after = await windowOf(options);
      seen.push({ before: quiet, during, after });
      quiet = after;
    }
    rows.push(judge(kind, seen, limits));
  }
  options.onProgress("equal tenants at overload");
  const overload = await equals(options);
  return { passed: rows.every((row) => row.passed) && overload.jain >= limits.jainMin, rows, overload, limits };
}

function windowOf({ victim, url, tenants, rate, windowMs, signal }: ProofOptions): Promise<Sight> {
  signal.throwIfAborted();
  return victim.window({ door: { url, key: tenants.victimKey }, rate, ms: windowMs });
}

async function under(kind: AggressorKind, options: ProofOptions): Promise<Sight> {
  const { url, tenants, aggressors, victim, rate, apart } = options;
  victim.sink.forgive(false);
  await aggressors.begin(kind, { url, key: tenants.aggressorKeys[kind] }, rate);
  await pause(FELT_MS);
  const sight = await windowOf(options);
  await aggressors.end(apart);
  victim.sink.forgive(true);
  return sight;
}

async function equals({ url, tenants, aggressors, windowMs }: ProofOptions): Promise<ProofResult["overload"]> {
  const doors = tenants.equalKeys.map((key) => ({ url, key }));
  const ms = Math.max(OVERLOAD_MS_MIN, windowMs);
  const { accepted, refused } = await aggressors.overload(doors, ms);
  const eventsPerSecond = accepted.reduce((sum, one) => sum + one, 0) / (ms / 1_000);
  return { tenants: doors.length, eventsPerSecond, refused, jain: jainIndex(accepted) };
}
