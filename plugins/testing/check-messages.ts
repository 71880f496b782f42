/** To the process that checks one plugin. */
export interface CheckRequest {
  /** A built-in plugin by its name, or the address of a module. */
  readonly plugin: { readonly name: string } | { readonly url: string };
  /** Options as a user writes them, to try a transform with. */
  readonly configs: readonly unknown[];
  /** Validated options of a sink's uses, whose targets are to be reached. */
  readonly connections: readonly { readonly label: string; readonly config: unknown }[];
}

export interface CheckResult {
  readonly name: string;
  /** Undefined when it holds. */
  readonly fault: string | undefined;
}
