import type { Path, Source } from "./source.ts";

export interface SubstituteOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a text file, path as written in the configuration; throws when it can't. */
  readonly readFile: (path: string) => string;
}

/** A value that came from outside the file. Only `written` may be shown. */
export interface Substituted {
  readonly path: Path;
  /** As in the file, e.g. `${DATABASE_URL}`. */
  readonly written: string;
  readonly value: string;
  /** At least one part came from a file, which is where secrets are mounted. */
  readonly fromFile: boolean;
}

export interface SubstituteProblem {
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Puts values for `${NAME}` and `${file:/path}` into the strings of a source, in place; `$${` stands for `${`. */
export function substitute(
  source: Source,
  options: SubstituteOptions,
): { substituted: Substituted[]; problems: SubstituteProblem[] } {
  const substituted: Substituted[] = [];
  const problems: SubstituteProblem[] = [];
  source.replaceStrings((written, path) => {
    let outside = false;
    const value = written.replace(REFERENCE, (whole, reference: string | undefined) => {
      if (reference === undefined) return "${";
      outside = true;
      const found = resolve(reference, options);
      if (typeof found === "string") return found;
      problems.push({ path, ...found });
      return whole;
    });
    if (outside) substituted.push({ path, written, value, fromFile: written.includes("${file:") });
    return value;
  });
  return { substituted, problems };
}

function resolve(reference: string, { env, readFile }: SubstituteOptions): string | { message: string; hint: string } {
  if (reference.startsWith("file:")) {
    const path = reference.slice("file:".length);
    try {
      // Editors and `echo` end a file with a newline that is no part of the secret.
      return readFile(path).replace(/\r?\n$/, "");
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      return { message: `can't read ${path}: ${reason}`, hint: "check that the file is there and may be read" };
    }
  }
  if (!NAME.test(reference)) {
    const message = `"\${${reference}}" is neither \${NAME} nor \${file:/path}`;
    return { message, hint: "write $${ for the text itself" };
  }
  return env[reference] ?? { message: `the environment variable ${reference} is not set`, hint: "set it" };
}
