/** To the process that checks one plugin. */
export interface CheckRequest {
  /** A built-in plugin by its name, or the address of a module. */
  readonly plugin: { readonly name: string } | { readonly url: string };
  /** Options as a user writes them, to try a transform with. */
  readonly configs: readonly unknown[];
  /** Servers on which a built-in sink's promises can be tried. */
  readonly servers: Servers;
  /** Validated options of a sink's uses, whose targets are to be reached. */
  readonly connections: readonly { readonly label: string; readonly config: unknown }[];
}

export interface CheckResult {
  readonly name: string;
  /** How it does not hold. */
  readonly fault?: string | undefined;
  /** What kept it from being checked. */
  readonly skipped?: string | undefined;
}

/** What a suite may fill and break: never an operator's own. */
export interface Servers {
  /** Of a PostgreSQL superuser, or why there is none. */
  readonly postgres?: { readonly url: string } | { readonly missing: string };
  /** Addresses of Kafka brokers. */
  readonly brokers?: string | undefined;
}
