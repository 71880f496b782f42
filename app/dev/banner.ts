export interface BannerOptions {
  readonly dataUrl: string;
  readonly opsUrl: string;
  readonly dataDir: string;
  /** Whether the database is the embedded one. */
  readonly embedded: boolean;
  /** Whether the log is in Redis, not in the data folder. */
  readonly inRedis: boolean;
  /** Whether the demo tenant runs, so that the example works as it stands. */
  readonly demo: boolean;
}

/** What runs where, and what to try: the first thing that a new user reads. */
export function banner({ dataUrl, opsUrl, dataDir, embedded, inRedis, demo }: BannerOptions): string {
  const url = dataUrl.replace("127.0.0.1", "localhost");
  const data = dataDir === ".pulsegate" ? "" : ` --data ${dataDir}`;
  const lines = [
    "PulseGate is ready.",
    "",
    `  events       ${url}/v1/events${demo ? "   (X-API-Key: demo)" : ""}`,
    `  operations   ${opsUrl.replace("127.0.0.1", "localhost")}   (/readyz, /metrics, admin API)`,
    `  database     PostgreSQL, ${embedded ? "embedded" : "yours"}`,
    ...(inRedis ? ["  log          Redis, yours"] : []),
    `  data         ${dataDir}`,
    "",
  ];
  if (demo) lines.push("Send an event:", "", EXAMPLE.replace("http://localhost:8080", url), "");
  lines.push("See the row:", "", `  npx pulsegate sql${data} "SELECT * FROM events_raw"`, "", "Ctrl-C stops.");
  return lines.join("\n");
}

const EXAMPLE = `  curl -X POST http://localhost:8080/v1/events -H "X-API-Key: demo" -H "Content-Type: application/json" \\
    -d '{"event_type": "user_sign_up", "user_id": "u_123", "ip": "8.8.8.8", "timestamp": "2025-03-01T12:00:00Z"}'`;
