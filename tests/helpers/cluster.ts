import type { Running } from "./cli.ts";
import { spawnPulsegate } from "./cli.ts";
import { tempDir } from "./temp-dir.ts";

export interface RoleProcess {
  readonly running: Running;
  /** Empty for a role that takes no events. */
  readonly data: string;
  readonly ops: string;
}

/** What a process that was started tells when it is ready. */
export async function roleOf(running: Running): Promise<RoleProcess> {
  const [line] = await running.output(/^.*"msg":"ready".*$/m);
  const { data = "", ops } = JSON.parse(line) as { data?: string; ops: string };
  return { running, data, ops };
}

export interface StartRole {
  readonly config: string;
  readonly role: "api" | "worker" | "admin" | "all";
}

/** One process of a role, in a folder of its own; ready when this resolves. */
export async function startRole({ config, role }: StartRole): Promise<RoleProcess> {
  return roleOf(spawnPulsegate(["start", "--config", config, "--role", role], { cwd: await tempDir() }));
}
