import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readRuntimeFile } from "../../app/runtime-file.ts";
import { startProxy } from "../../plugins/testing/proxy.ts";
import { freePorts } from "../helpers/free-ports.ts";
import { harmsOfDatabase } from "./database-harms.ts";
import { adminDocument, Victim } from "./victim.ts";
import type { Ground, Harm, World } from "./world.ts";

/** `pulsegate dev`: one process on the embedded log. */
export async function startEmbedded({ folder, postgres, tenants }: Ground): Promise<World> {
  const proxy = await startProxy(() => ({ host: "127.0.0.1", port: postgres.port }));
  const databaseUrl = new URL(postgres.url);
  databaseUrl.port = String(proxy.port);
  const config = join(folder, "pulsegate.yaml");
  await writeFile(config, `version: 1\n${tenants}`);
  const dataDir = join(folder, "data");
  const [port, opsPort] = await freePorts(2);
  const gate = new Victim({
    name: "PulseGate",
    args: [
      ...["dev", "--config", config, "--data", dataDir, "--database-url", databaseUrl.href],
      ...["--port", String(port), "--ops-port", String(opsPort)],
    ],
    env: { DATABASE_URL: databaseUrl.href },
    isReady: async ({ pid }) => (await readRuntimeFile(dataDir).catch(() => undefined))?.pid === pid,
  });
  const close = async (): Promise<void> => {
    await gate.kill();
    await proxy.close();
  };
  await gate.start().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    doors: [`http://127.0.0.1:${port}`],
    async admin(path) {
      const runtime = await readRuntimeFile(dataDir);
      if (runtime === undefined) throw new Error(`PulseGate does not run: ${gate.faults.join("; ")}`);
      return adminDocument(runtime.opsUrl, runtime.adminToken, path);
    },
    harms: { ...harmsOf(gate), ...harmsOfDatabase(postgres, proxy) },
    faults: () => gate.faults,
    close,
  };
}

function harmsOf(gate: Victim): Record<string, Harm> {
  return {
    async "kill -9 PulseGate"(random) {
      await gate.kill();
      await sleep(random() * 300);
      await gate.start();
    },
    async "kill -9 PulseGate twice, the second time while it starts"(random) {
      await gate.kill();
      const starting = gate.start().catch(() => {});
      await sleep(random() * 1_000);
      await gate.kill();
      await starting;
      await gate.start();
    },
    async "SIGTERM PulseGate"() {
      await gate.terminate();
      await gate.start();
    },
  };
}
