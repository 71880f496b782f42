/** What the process ends with. Documented in docs/reference/cli.md. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command can't do what it was asked: told in three parts, without a stack. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  readonly why: string | undefined;
  readonly next: string | undefined;

  constructor(what: string, options: { exitCode?: ExitCode; why?: string; next?: string } = {}) {
    super(what);
    this.name = "Failure";
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.why = options.why;
    this.next = options.next;
  }
}

/** The lines for standard error. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Failure)) {
    const words = error instanceof Error ? error.message || error.name : String(error);
    const stack = process.env.PULSEGATE_DEBUG !== undefined && error instanceof Error ? `\n${error.stack}` : "";
    return `error: ${words}${stack}\n`;
  }
  const why = error.why === undefined ? "" : `\n  why: ${error.why}`;
  const next = error.next === undefined ? "" : `\n  next: ${error.next}`;
  return `error: ${error.message}${why}${next}\n`;
}
