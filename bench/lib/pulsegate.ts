import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createHash, randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Started, start } from "./process.ts";

/** Of every gate that is measured. */
export const ADMIN_TOKEN = randomBytes(24).toString("hex");

const BIN = resolve(import.meta.dirname, "../../bin/pulsegate.mjs");

export interface Target extends Started {
  readonly url: string;
  readonly opsUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Stops it and starts another process on the same folder; resolves when that is ready. */
  restart(): Promise<Target>;
}

/** The real product as a process of its own, `pulsegate start --role all`, on free ports and a folder that is removed after. */
export async function startPulseGate(tenantYaml = ""): Promise<Target> {
  const dir = mkdtempSync(join(tmpdir(), "pulsegate-bench-"));
  const key = randomBytes(32).toString("base64url");
  writeFileSync(join(dir, "pulsegate.yaml"), configText(dir, key, tenantYaml));
  return startIn(dir, { "X-API-Key": key });
}

async function startIn(dir: string, headers: Target["headers"]): Promise<Target> {
  const args = [BIN, "start", "--config", join(dir, "pulsegate.yaml")];
  const started = await start(process.execPath, args, (line) => line.includes('"ready"'));
  const { data, ops } = JSON.parse(started.line) as { data: string; ops: string };
  return {
    ...started,
    url: data,
    opsUrl: ops,
    headers,
    restart: async () => {
      await started.stop();
      return startIn(dir, headers);
    },
    stop: async (signal) => {
      const code = await started.stop(signal);
      rmSync(dir, { recursive: true });
      return code;
    },
  };
}

function configText(dir: string, key: string, tenantYaml: string): string {
  return `version: 1
log: { driver: embedded, path: ${JSON.stringify(join(dir, "data"))} }
http: { port: 0 }
ops: { port: 0, admin_token: ${ADMIN_TOKEN} }
tenants:
  - id: bench
    keys: [{ id: bench, sha256: ${createHash("sha256").update(key).digest("hex")} }]
${tenantYaml}`;
}

const ECHO = resolve(import.meta.dirname, "../echo.ts");

/** The bare node:http reference, on the same Node. */
export async function startEcho(): Promise<Started & { readonly url: string }> {
  const started = await start(process.execPath, [ECHO], (line) => line.startsWith("listening on "));
  return { ...started, url: `http://127.0.0.1:${started.line.slice("listening on ".length)}` };
}
