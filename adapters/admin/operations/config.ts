import { z } from "zod";
import { PulseGateError } from "../../../core/canonical/errors.ts";
import { changeAudited } from "../change.ts";
import { PAGE, pageOf } from "../input.ts";
import { operation, param } from "../operation.ts";
import type { Answer, Call } from "../operation.ts";
import type { AdminPorts } from "../ports.ts";
import { ConfigSchema, pageSchema, ProblemPlace, RevisionSchema } from "../schemas.ts";
import { configView, revisionView } from "../views.ts";

const TEXT_BYTES_MAX = 4 * 1024 * 1024;

const showConfig = operation({
  id: "show_config",
  method: "GET",
  path: "/config",
  summary: "Tell which revision runs, and what was wrong with the last one that was refused",
  role: "viewer",
  scope: "global",
  response: ConfigSchema,
  handle: async (_call, { config }) => {
    const state = config.state();
    return { body: configView(state), version: state.revision };
  },
});

const listRevisions = operation({
  id: "list_revisions",
  method: "GET",
  path: "/config/revisions",
  summary: "List the revisions whose text is kept, the newest first",
  role: "viewer",
  scope: "global",
  query: z.strictObject(PAGE),
  response: pageSchema(RevisionSchema),
  handle: async ({ query }, { config }) => {
    const newestFirst = ({ number }: { number: number }): string => String(1e15 - number);
    const page = pageOf(await config.revisions(), newestFirst, query);
    return { body: { ...page, items: page.items.map(revisionView) } };
  },
});

const showRevision = operation({
  id: "show_revision",
  method: "GET",
  path: "/config/revisions/{number}",
  summary: "Show a revision's text, secrets masked",
  role: "viewer",
  scope: "global",
  response: RevisionSchema.extend({ text: z.string() }),
  errors: ["not_found"],
  handle: async (call, { config }) => {
    const text = param(call, "number");
    const found = /^\d{1,9}$/.test(text) ? await config.revision(Number(text)) : undefined;
    if (found === undefined) throw notKept(text);
    return { body: { ...revisionView(found), text: found.text } };
  },
});

const REVISION_NUMBER = z.coerce.number().int().min(1);

const diffRevisions = operation({
  id: "diff_revisions",
  method: "GET",
  path: "/config/diff",
  summary: "Compare two revisions, secrets masked",
  role: "viewer",
  scope: "global",
  query: z.strictObject({ from: REVISION_NUMBER, to: REVISION_NUMBER }),
  response: z.strictObject({
    from: z.int(),
    to: z.int(),
    diff: z.string().describe("Unified; empty when the masked texts are the same."),
    secrets_changed: z.boolean().describe("Whether a masked value differs."),
  }),
  errors: ["not_found"],
  handle: async ({ query: { from, to } }, { config }) => {
    const diff = await config.diff(from, to);
    if (diff === undefined) throw notKept(`${from} or ${to}`);
    return { body: { from, to, diff: diff.text, secrets_changed: diff.secretsChanged } };
  },
});

const validateConfig = operation({
  id: "validate_config",
  method: "POST",
  path: "/config/validate",
  summary: "Tell everything that is wrong with a configuration, as this process reads it; nothing changes",
  role: "admin",
  scope: "global",
  body: "yaml",
  bodyBytesMax: TEXT_BYTES_MAX,
  response: z.strictObject({ ok: z.boolean(), problems: z.array(ProblemPlace) }),
  errors: ["unsupported_media_type", "body_too_large"],
  handle: async ({ body }, { config }) => {
    const problems = await config.validate(body as string);
    return { body: { ok: problems.length === 0, problems } };
  },
});

const applyConfig = operation({
  id: "apply_config",
  method: "POST",
  path: "/config/apply",
  summary: "Make a configuration the running revision; it stays until the file changes or another is applied",
  role: "admin",
  scope: "global",
  body: "yaml",
  bodyBytesMax: TEXT_BYTES_MAX,
  ifMatch: "required",
  response: ConfigSchema,
  errors: [
    "unsupported_media_type",
    "body_too_large",
    "conflict",
    "invalid_config",
    "precondition_failed",
    "precondition_required",
  ],
  handle: async (call, ports) =>
    changeConfig(call, ports, {
      action: "apply_config",
      make: () => ports.config.apply(call.body as string, call.who.id, call.ifMatch),
    }),
});

const rollBackConfig = operation({
  id: "roll_back_config",
  method: "POST",
  path: "/config/rollback",
  summary: "Make the text of an older revision run again, as a new revision",
  role: "admin",
  scope: "global",
  body: z.strictObject({ to: z.int().min(1).describe("The older revision's number.") }),
  ifMatch: "required",
  response: ConfigSchema,
  errors: ["not_found", "conflict", "invalid_config", "precondition_failed", "precondition_required"],
  handle: async (call, ports) =>
    changeConfig(call, ports, {
      action: "roll_back_config",
      reason: `to revision ${call.body.to}`,
      make: () => ports.config.rollBack(call.body.to, call.who.id, call.ifMatch),
    }),
});

export const CONFIG_OPERATIONS = [
  showConfig,
  listRevisions,
  showRevision,
  diffRevisions,
  validateConfig,
  applyConfig,
  rollBackConfig,
];

interface ConfigChange {
  readonly action: string;
  readonly reason?: string;
  readonly make: () => Promise<number>;
}

async function changeConfig(
  call: Call<unknown, unknown>,
  ports: AdminPorts,
  { action, reason, make }: ConfigChange,
): Promise<Answer> {
  const before = ports.config.state().revision;
  return changeAudited(call, ports, {
    action,
    reason,
    target: "config",
    before: { revision: before },
    make: async () => {
      const revision = await make();
      return { body: configView(ports.config.state()), version: revision, after: { revision } };
    },
  });
}

function notKept(what: string): PulseGateError {
  return new PulseGateError("not_found", `no text is kept of revision ${what}`);
}
