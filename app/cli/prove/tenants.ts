import { randomBytes } from "node:crypto";
import { API_KEY_BYTES, createApiKey } from "../../../core/ingestion/admit.ts";
import { AGGRESSORS, type AggressorKind } from "./kinds.ts";

export const EQUALS = 4;

export interface TrialTenants {
  /** As under `tenants` in a configuration. */
  readonly config: readonly unknown[];
  readonly victimKey: string;
  readonly aggressorKeys: Readonly<Record<AggressorKind, string>>;
  /** Of tenants without a sink, for the overload. */
  readonly equalKeys: readonly string[];
}

export interface TenantOptions {
  readonly victimSink: string;
  readonly aggressorSink: string;
  /** The aggressors send as the victim: nothing keeps them apart then, and the proof must fail. */
  readonly oneTenant: boolean;
}

/** The tenants of one proof, with keys of their own. */
export function trialTenants({ victimSink, aggressorSink, oneTenant }: TenantOptions): TrialTenants {
  const run = randomBytes(4).toString("hex");
  const config: unknown[] = [];
  const add = (name: string, sinkUrl?: string): string => {
    const { text, sha256 } = createApiKey("prove", randomBytes(API_KEY_BYTES));
    const sinks = sinkUrl === undefined ? [] : [webhook(sinkUrl)];
    config.push({ id: `trial-${run}-${name}`, keys: [{ id: "prove", sha256 }], plugins: { sinks } });
    return text;
  };
  const victimKey = add("victim", victimSink);
  const kinds = Object.keys(AGGRESSORS) as AggressorKind[];
  const keys = kinds.map((kind) => [kind, oneTenant ? victimKey : add(kind.replace(" ", "-"), aggressorSink)] as const);
  const equalKeys = Array.from({ length: EQUALS }, (_, n) => add(`equal-${n + 1}`));
  return { config, victimKey, aggressorKeys: Object.fromEntries(keys) as Record<AggressorKind, string>, equalKeys };
}

const SECRET_BYTES = 32;

function webhook(url: string): unknown {
  const secrets = [`whsec_${randomBytes(SECRET_BYTES).toString("base64")}`];
  return { name: "webhook_sink", id: "sink", config: { url, secrets, body: "payload", allow: ["127.0.0.1"] } };
}
