/** The founding text's load test, in one place for k6 and for `make bench`. */
export const PROFILE = {
  /** Events per second, one POST each. */
  rates: [5_000, 10_000],
  seconds: 30,
  pauseSeconds: 5,
  failedShareMax: 0,
  /** Of the answer, which comes after the event is durable. */
  p99MsMax: 100,
} as const;
