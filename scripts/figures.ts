type Json = Record<string, unknown>;
type Result = (bench: string) => Json | undefined;

interface Row {
  readonly what: string;
  readonly bench: string;
  /** Path to the figure within the bench's result. */
  readonly figure: string;
  readonly unit: string;
  /** Path to the reference that it is a share of, if it is one. */
  readonly beside?: string;
}

const ROWS: readonly Row[] = [];

/** The README's block of figures as Markdown; a bench that was not run yet is left out. */
export function figures(result: Result): string {
  return ROWS.length === 0 || result("ingest") === undefined ? "" : "";
}
