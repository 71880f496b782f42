/**
 * The load profile of the founding text for k6: constant arrival rates of 5,000 and 10,000 events/s.
 *
 *     k6 run -e URL=http://127.0.0.1:8080 -e KEY=demo tests/load/ingest.k6.ts
 *
 * `make bench ARGS=profile` runs the same profile by an open-loop generator where k6 can't be had.
 */
import { check } from "k6";
import http from "k6/http";
import type { Options } from "k6/options";
import { PROFILE } from "./profile.ts";

declare const __ENV: Record<string, string | undefined>;

const url = `${__ENV["URL"] ?? "http://127.0.0.1:8080"}/v1/events`;
const headers = { "Content-Type": "application/json", "X-API-Key": __ENV["KEY"] ?? "demo" };

export const options: Options = {
  scenarios: Object.fromEntries(
    PROFILE.rates.map((rate, index) => [
      `rate_${rate}`,
      {
        executor: "constant-arrival-rate" as const,
        rate,
        timeUnit: "1s",
        startTime: `${index * (PROFILE.seconds + PROFILE.pauseSeconds)}s`,
        duration: `${PROFILE.seconds}s`,
        preAllocatedVUs: 200,
        maxVUs: 2000,
      },
    ]),
  ),
  thresholds: {
    http_req_failed: [`rate<=${PROFILE.failedShareMax}`],
    http_req_duration: [`p(99)<${PROFILE.p99MsMax}`],
    dropped_iterations: ["count==0"],
  },
};

export default function post(): void {
  const body = JSON.stringify({
    event_type: "user_sign_up",
    user_id: `u_${Math.floor(Math.random() * 1e9)}`,
    ip: "8.8.8.8",
    timestamp: new Date().toISOString(),
  });
  check(http.post(url, body, { headers }), { "202 Accepted": (answer) => answer.status === 202 });
}
