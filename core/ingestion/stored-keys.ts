import { PulseGateError } from "../canonical/errors.ts";
import { readDocument, updateDocument } from "./control.ts";
import type { ControlStore } from "./log.ts";
import type { ApiKey, TenantConfig } from "./revision.ts";

/**
 * API keys that were made while PulseGate ran. They live in the log's own backend, beside those of the
 * configuration; a configuration's key can be revoked here as well.
 */
export interface StoredKey {
  readonly id: string;
  readonly createdAt: number;
  readonly createdBy: string;
  /** Those that are let in, the newest last. Empty: revoked. */
  readonly secrets: readonly StoredSecret[];
  readonly revokedAt?: number | undefined;
}

export interface StoredSecret {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly createdAt: number;
  /** Replaced by a newer one, and let in until then. */
  readonly expiresAt?: number | undefined;
}

interface TenantKeys {
  readonly keys: readonly StoredKey[];
  /** SHA-256 of configured keys that count no more, though the file still names them. */
  readonly revoked: ReadonlyArray<{ readonly id: string; readonly sha256: string; readonly at: number }>;
}

/** A key as operators see it: no secret, no hash. */
export interface KeyView {
  readonly id: string;
  readonly origin: "config" | "api";
  readonly state: "active" | "rotating" | "revoked";
  readonly createdAt?: number | undefined;
  readonly createdBy?: string | undefined;
  /** While rotating: when the older secret ends. */
  readonly overlapEndsAt?: number | undefined;
  readonly revokedAt?: number | undefined;
}

/** Live and revoked ones together. */
const KEYS_PER_TENANT_MAX = 1_000;
/** One in use, one that fades out. */
const SECRETS_PER_KEY_MAX = 2;

const PREFIX = "keys/";

/** Where one key's change begins: what stands in the configuration, who asks, and when. */
export interface KeyChange {
  readonly tenant: TenantConfig;
  readonly keyId: string;
  readonly by: string;
  readonly now: number;
  /** As `UpdateOptions.expected`. */
  readonly expected?: number | undefined;
}

export async function keysOf(
  control: ControlStore,
  tenant: TenantConfig,
  now: number,
): Promise<{ readonly keys: readonly KeyView[]; readonly version: number }> {
  const { value, version } = await readDocument<TenantKeys>(control, PREFIX + tenant.id);
  return { keys: viewsOf(tenant, value ?? NONE, now), version };
}

/** Rejects with `conflict` when the tenant has a live key of this id. */
export async function addKey(control: ControlStore, change: KeyChange, sha256: string): Promise<KeyView> {
  const { tenant, keyId, by, now } = change;
  return save(control, change, (known) => {
    const live = viewsOf(tenant, known, now).some((key) => key.id === keyId && key.state !== "revoked");
    if (live) throw new PulseGateError("conflict", `tenant ${tenant.id} has a key ${keyId} already`);
    const others = known.keys.filter((key) => key.id !== keyId);
    if (others.length >= KEYS_PER_TENANT_MAX) {
      throw new PulseGateError("conflict", `tenant ${tenant.id} has ${others.length} keys, which is the most`);
    }
    const key: StoredKey = { id: keyId, createdAt: now, createdBy: by, secrets: [{ sha256, createdAt: now }] };
    return { ...known, keys: [...others, key] };
  });
}

/** The new secret counts at once, the one before it for `overlapMs` more. */
export async function rotateKey(
  control: ControlStore,
  change: KeyChange,
  secret: { readonly sha256: string; readonly overlapMs: number },
): Promise<KeyView> {
  const { tenant, keyId, now } = change;
  return save(
    control,
    change,
    (known) => {
      const key = liveKey(known, change);
      const fading = key.secrets
        .filter((one) => isLive(one, now))
        .map((one) => ({
          ...one,
          expiresAt: Math.min(one.expiresAt ?? Number.POSITIVE_INFINITY, now + secret.overlapMs),
        }))
        .slice(1 - SECRETS_PER_KEY_MAX);
      const secrets = [...fading, { sha256: secret.sha256, createdAt: now }];
      return { ...known, keys: known.keys.map((one) => (one === key ? { ...key, secrets } : one)) };
    },
    `the key ${keyId} of tenant ${tenant.id} stands in the configuration: make another, then revoke this one`,
  );
}

/** Lets the key in no more, wherever it stands; repeating it changes nothing. */
export async function revokeKey(control: ControlStore, change: KeyChange): Promise<KeyView> {
  const { tenant, keyId, now } = change;
  return save(control, change, (known) => {
    const configured = tenant.keys.filter((key) => key.id === keyId && !isRevoked(known, key));
    const revoked = [...known.revoked, ...configured.map(({ id, sha256 }) => ({ id, sha256, at: now }))];
    const keys = known.keys.map((key) =>
      key.id === keyId && key.secrets.length > 0 ? { ...key, secrets: [], revokedAt: now } : key,
    );
    return { keys, revoked };
  });
}

async function save(
  control: ControlStore,
  { tenant, keyId, now, expected }: KeyChange,
  change: (known: TenantKeys) => TenantKeys,
  whyConfigured?: string,
): Promise<KeyView> {
  if (whyConfigured !== undefined && tenant.keys.some((key) => key.id === keyId)) {
    throw new PulseGateError("conflict", whyConfigured);
  }
  const { value } = await updateDocument<TenantKeys>(control, PREFIX + tenant.id, {
    expected,
    change: (known) => change(known ?? NONE),
  });
  const view = viewsOf(tenant, value, now).find((key) => key.id === keyId);
  if (view === undefined) throw new PulseGateError("not_found", `tenant ${tenant.id} has no key ${keyId}`);
  return view;
}

const NONE: TenantKeys = { keys: [], revoked: [] };

function liveKey(known: TenantKeys, { tenant, keyId, now }: KeyChange): StoredKey {
  const key = known.keys.find((one) => one.id === keyId);
  if (key === undefined) throw new PulseGateError("not_found", `tenant ${tenant.id} has no key ${keyId}`);
  if (key.secrets.some((secret) => isLive(secret, now))) return key;
  throw new PulseGateError("conflict", `the key ${keyId} of tenant ${tenant.id} is revoked: make a new one`);
}

function viewsOf(tenant: TenantConfig, known: TenantKeys, now: number): KeyView[] {
  const configured = tenant.keys.map((key): KeyView => {
    const revoked = known.revoked.find((one) => one.sha256 === key.sha256);
    return {
      id: key.id,
      origin: "config",
      state: revoked === undefined ? "active" : "revoked",
      revokedAt: revoked?.at,
    };
  });
  const stored = known.keys.map((key): KeyView => {
    const live = key.secrets.filter((secret) => isLive(secret, now));
    const state = live.length === 0 ? "revoked" : live.length === 1 ? "active" : "rotating";
    const { id, createdAt, createdBy, revokedAt } = key;
    return { id, origin: "api", state, createdAt, createdBy, revokedAt, overlapEndsAt: live[0]?.expiresAt };
  });
  return [...configured, ...stored].toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** All stored keys, by tenant. */
export type StoredKeys = ReadonlyMap<string, TenantKeys>;

export async function loadStoredKeys(control: ControlStore): Promise<StoredKeys> {
  const documents = await control.list(PREFIX);
  return new Map(documents.map(({ key, value }) => [key.slice(PREFIX.length), value as TenantKeys]));
}

/** The tenants with the keys that count now, and when that changes by itself. */
export function withStoredKeys(
  tenants: readonly TenantConfig[],
  stored: StoredKeys,
  now: number,
): { readonly tenants: readonly TenantConfig[]; readonly changesAt: number | undefined } {
  let changesAt = Number.POSITIVE_INFINITY;
  // What the file names as well counts as the file says.
  const inFile = new Set(tenants.flatMap(({ keys }) => keys.map((key) => key.sha256)));
  const joined = tenants.map((tenant) => {
    const known = stored.get(tenant.id);
    if (known === undefined) return tenant;
    const live = known.keys.flatMap((key) =>
      key.secrets
        .filter((secret) => isLive(secret, now) && !inFile.has(secret.sha256))
        .map((secret) => ({ id: key.id, secret })),
    );
    for (const { secret } of live) changesAt = Math.min(changesAt, secret.expiresAt ?? Number.POSITIVE_INFINITY);
    const configured = tenant.keys.filter((key) => !isRevoked(known, key));
    return { ...tenant, keys: [...configured, ...live.map(({ id, secret }) => ({ id, sha256: secret.sha256 }))] };
  });
  return { tenants: joined, changesAt: Number.isFinite(changesAt) ? changesAt : undefined };
}

function isLive(secret: StoredSecret, now: number): boolean {
  return secret.expiresAt === undefined || secret.expiresAt > now;
}

function isRevoked(known: TenantKeys, key: ApiKey): boolean {
  return known.revoked.some((one) => one.sha256 === key.sha256);
}
