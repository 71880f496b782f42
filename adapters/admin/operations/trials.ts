import { z } from "zod";
import { changeAudited } from "../change.ts";
import { operation, param } from "../operation.ts";
import { TrialSchema } from "../schemas.ts";

const TENANTS_MAX = 32;
const TTL_SECONDS_MAX = 24 * 3_600;

const beginTrial = operation({
  id: "begin_trial",
  method: "POST",
  path: "/trials",
  summary: "Run throw-away tenants beside the configuration's, for a measurement",
  description:
    "They are removed with their lanes and dead letters when the trial is ended, when its time is over, or at the next start. Neither the file nor the applied configuration knows of them. What they send stays in the log until its retention is over.",
  role: "admin",
  scope: "global",
  body: z.strictObject({
    tenants: z
      .array(z.record(z.string(), z.unknown()))
      .min(1)
      .max(TENANTS_MAX)
      .describe("As under `tenants` in a configuration; each id begins with `trial-`."),
    ttl_seconds: z.int().min(1).max(TTL_SECONDS_MAX).describe("Then they are removed by themselves."),
  }),
  status: 201,
  response: TrialSchema,
  errors: ["conflict", "invalid_config"],
  handle: async (call, ports) =>
    changeAudited(call, ports, {
      action: "begin_trial",
      target: "trials",
      make: async () => {
        const { tenants, ttl_seconds: ttlSeconds } = call.body;
        const trial = await ports.trials.begin({ tenants, ttlMs: ttlSeconds * 1_000 });
        const expires = new Date(trial.expiresAt).toISOString();
        const body = { id: trial.id, tenants: [...trial.tenantIds], expires_at: expires };
        return { body, after: body };
      },
    }),
});

const endTrial = operation({
  id: "end_trial",
  method: "DELETE",
  path: "/trials/{trial}",
  summary: "Remove a trial's tenants with their lanes and dead letters",
  role: "admin",
  scope: "global",
  response: z.strictObject({ id: z.string() }),
  errors: ["not_found"],
  handle: async (call, ports) => {
    const id = param(call, "trial");
    return changeAudited(call, ports, {
      action: "end_trial",
      target: `trials/${id}`,
      make: async () => {
        await ports.trials.end(id);
        return { body: { id }, after: undefined };
      },
    });
  },
});

export const TRIAL_OPERATIONS = [beginTrial, endTrial];
