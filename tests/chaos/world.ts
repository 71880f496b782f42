import type { Random } from "../../core/environment.ts";
import type { TestPostgres } from "../helpers/postgres.ts";

/** Does its harm and makes it good again before it resolves. */
export type Harm = (random: Random) => Promise<void>;

/** The running product with all that it needs: what load is sent to, what harm is done to. */
export interface World {
  /** Base URLs that take events. */
  readonly doors: readonly string[];
  /** A document of the admin API. */
  admin<T>(path: string): Promise<T>;
  readonly harms: Readonly<Record<string, Harm>>;
  /** Ends that nobody asked for, so far. */
  faults(): readonly string[];
  /** Kills and removes everything. */
  close(): Promise<void>;
}

/** What every world stands on. */
export interface Ground {
  readonly folder: string;
  readonly postgres: TestPostgres;
  /** Of the tenants, as YAML; their sinks are at `${DATABASE_URL}`. */
  readonly tenants: string;
}
