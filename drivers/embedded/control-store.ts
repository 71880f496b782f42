import type { RootDatabase } from "lmdb";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { ControlStore } from "../../core/ingestion/log.ts";

type Stored = { readonly value: unknown; readonly version: number };

/** Control documents in LMDB. `write`: runs changes in one transaction. */
export function controlStoreOf(env: RootDatabase, write: <T>(action: () => T) => Promise<T>): ControlStore {
  const controls = env.openDB<Stored, string>({ name: "control" });
  const check = (key: string, version: number): void => {
    const current = controls.get(key)?.version ?? 0;
    if (current !== version)
      throw new PulseGateError("version_conflict", `"${key}" is at version ${current}, not ${version}.`);
  };
  return {
    get: async (key) => controls.get(key),
    put: (key, value, version) =>
      write(() => {
        check(key, version);
        void controls.put(key, { value, version: version + 1 });
        return version + 1;
      }),
    remove: (key, version) =>
      write(() => {
        check(key, version);
        void controls.remove(key);
      }),
    list: async (prefix) => [
      ...controls
        .getRange({ start: prefix, end: `${prefix}\uffff` })
        .map(({ key, value }) => ({ key, value: value.value, version: value.version })),
    ],
  };
}
