import type { Clock } from "../../core/environment.ts";

/** One thing that must hold for the process to be ready. */
export interface HealthCheck {
  readonly name: string;
  /** Rejects with the reason when it does not hold; the signal aborts when the answer is due. */
  check(signal: AbortSignal): Promise<void>;
  /** What operators should know though it holds. */
  note?(): string | undefined;
}

export interface CheckResult {
  readonly name: string;
  readonly status: "ok" | "failed";
  readonly duration_ms: number;
  readonly reason?: string;
  readonly note?: string;
}

export interface Readiness {
  readonly status: "ready" | "not_ready";
  readonly checks: readonly CheckResult[];
}

export interface ReadinessOptions {
  readonly checks: readonly HealthCheck[];
  readonly clock: Clock;
  /** A check that takes longer has failed. */
  readonly timeoutMs: number;
  /** An answer is given again for so long, so that probes can't load the log. */
  readonly cacheMs: number;
}

/** Runs all checks, at most once at a time and once per `cacheMs`; never rejects. */
export function createReadiness(options: ReadinessOptions): () => Promise<Readiness> {
  let answer: Promise<Readiness> | undefined;
  let answeredAt = Number.NEGATIVE_INFINITY;
  let pending = false;
  return () => {
    const fresh = options.clock.monotonic() - answeredAt < options.cacheMs;
    if (answer !== undefined && (pending || fresh)) return answer;
    pending = true;
    answer = runAll(options).finally(() => {
      pending = false;
      answeredAt = options.clock.monotonic();
    });
    return answer;
  };
}

async function runAll(options: ReadinessOptions): Promise<Readiness> {
  const checks = await Promise.all(options.checks.map((check) => runOne(check, options)));
  return { status: checks.every((check) => check.status === "ok") ? "ready" : "not_ready", checks };
}

async function runOne(check: HealthCheck, { clock, timeoutMs }: ReadinessOptions): Promise<CheckResult> {
  const startedAt = clock.monotonic();
  const done = new AbortController();
  const due = new AbortController();
  const deadline = clock.sleep(timeoutMs, done.signal).then(() => {
    due.abort();
    throw new Error(`no answer within ${timeoutMs} ms`);
  });
  // Lost races must not surface as unhandled rejections.
  deadline.catch(() => {});
  try {
    await Promise.race([check.check(due.signal), deadline]);
    const note = check.note?.();
    const result = { name: check.name, status: "ok", duration_ms: elapsed(clock, startedAt) } as const;
    return note === undefined ? result : { ...result, note };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { name: check.name, status: "failed", duration_ms: elapsed(clock, startedAt), reason };
  } finally {
    done.abort();
  }
}

function elapsed(clock: Clock, startedAt: number): number {
  return Math.round((clock.monotonic() - startedAt) * 10) / 10;
}
