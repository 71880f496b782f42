import { audited } from "../../core/ingestion/audit.ts";
import type { Answer, Call } from "./operation.ts";
import type { AdminPorts } from "./ports.ts";

export interface Change {
  /** The operation's id. */
  readonly action: string;
  readonly target: string;
  readonly tenantId?: string | undefined;
  readonly reason?: string | undefined;
  /** Without secrets. */
  readonly before?: unknown;
  readonly make: () => Promise<Answer & { readonly after: unknown }>;
}

/** Makes a change that the audit stream tells of. */
export async function changeAudited(
  call: Call<unknown, unknown>,
  { control, clock }: AdminPorts,
  { make, ...what }: Change,
): Promise<Answer> {
  const { who, address } = call;
  const intent = { ...what, at: clock.now(), who: { id: who.id, role: who.role, address } };
  return audited(control, intent, async () => {
    const { after, ...result } = await make();
    return { result, after };
  });
}
