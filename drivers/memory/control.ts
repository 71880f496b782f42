import { PulseGateError } from "../../core/canonical/errors.ts";

interface Versioned {
  readonly value: unknown;
  readonly version: number;
}

/**
 * The durable control documents of the in-memory log. Values are copied on their way in, as a real store would, and
 * frozen: readers share them, and one that changes what it was given fails.
 */
export class ControlTable {
  readonly #documents = new Map<string, Versioned>();

  get(key: string): Versioned | undefined {
    return this.#documents.get(key);
  }

  put(key: string, value: unknown, version: number): number {
    this.#check(key, version);
    this.#documents.set(key, { value: frozen(structuredClone(value)), version: version + 1 });
    return version + 1;
  }

  remove(key: string, version: number): void {
    this.#check(key, version);
    this.#documents.delete(key);
  }

  list(prefix: string): (Versioned & { readonly key: string })[] {
    return [...this.#documents]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, document]) => ({ key, ...document }));
  }

  #check(key: string, version: number): void {
    const current = this.#documents.get(key)?.version ?? 0;
    if (current === version) return;
    throw new PulseGateError("version_conflict", `${key} is at version ${current}, not ${version}`);
  }
}

function frozen(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
