import type { Random } from "../environment.ts";

/**
 * How long to wait before try `attempt + 1`, in milliseconds: full jitter, uniform between 0 and
 * `minMs × 2^(attempt − 1)`, capped at `maxMs`. Full jitter spreads the retries of many lanes evenly;
 * see "Exponential Backoff And Jitter", AWS Architecture Blog.
 */
export function fullJitterMs(options: {
  readonly attempt: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly random: Random;
}): number {
  return options.random() * ceilingMs(options);
}

function ceilingMs({ attempt, minMs, maxMs }: { attempt: number; minMs: number; maxMs: number }): number {
  // 2^30 milliseconds are twelve days: beyond any sensible cap, and far from overflow.
  return Math.min(maxMs, minMs * 2 ** Math.min(Math.max(attempt - 1, 0), 30));
}
