import type { Running } from "./cli.ts";

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
