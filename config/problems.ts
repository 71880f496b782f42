import type { z } from "zod";
import type { Path, Place, Source } from "./source.ts";

/** One thing wrong with a configuration file, and where. Never holds a secret's value. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** What is wrong, e.g. `tenants[0].keys: …`. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** A `${…}` for which there is no value. */
  readonly kind?: "unfilled";
}

/** `file:line:column: message (what to do)`, which editors and terminals make clickable. */
export function formatProblem(problem: Problem): string {
  const hint = problem.hint === undefined ? "" : ` (${problem.hint})`;
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}${hint}`;
}

/** In the order of the file, each once. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const unique = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  return [...unique.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
}

export interface IssueContext {
  readonly source: Source;
  /** Where the validated value lies in the file. */
  readonly base: Path;
  /** The validated value itself, to tell missing from wrong. */
  readonly value: unknown;
  /** Names that the schema knows in the mapping at a path (relative to `base`). */
  readonly keysAt: (path: Path) => readonly string[];
}

/** Turns what a schema found into problems with places and next steps. */
export function problemsOfIssues(issues: readonly z.core.$ZodIssue[], context: IssueContext): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, [], context));
}

function problemsOfIssue(issue: z.core.$ZodIssue, above: Path, context: IssueContext): Problem[] {
  const path = [...above, ...issue.path] as Path;
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(path, key, context));
  if (isMissing(path, context)) return [missing(path, context)];
  const branch = issue.code === "invalid_union" ? likeliestBranch(issue.errors) : undefined;
  // A union with words of its own says more than one of its branches.
  if (branch !== undefined && issue.message === "Invalid input") {
    return branch.flatMap((inner) => problemsOfIssue(inner, path, context));
  }
  return [problemAt(path, wordsOf(issue), context, placeWithin(issue))];
}

/** An issue about a text that is a language of its own says where in it: `params: { line, column }`, from 1. */
function placeWithin(issue: z.core.$ZodIssue): Place | undefined {
  if (issue.code !== "custom") return undefined;
  const { line, column } = (issue.params ?? {}) as Partial<Place>;
  return line === undefined || column === undefined ? undefined : { line, column };
}

/** The branch that came furthest: fewest problems, and not already wrong in its type. */
function likeliestBranch(
  branches: ReadonlyArray<readonly z.core.$ZodIssue[]>,
): readonly z.core.$ZodIssue[] | undefined {
  return branches.toSorted((a, b) => distanceOf(a) - distanceOf(b))[0];
}

function distanceOf(issues: readonly z.core.$ZodIssue[]): number {
  const wrongType = issues.some((issue) => issue.code === "invalid_type" && issue.path.length === 0);
  return issues.length + (wrongType ? 100 : 0);
}

function wordsOf(issue: z.core.$ZodIssue): string {
  const words = issue.message.replace(/^Invalid (input|option): /, "");
  if (issue.code === "invalid_type" && /^expected string\b/.test(words)) return `${words}; put it in quotes`;
  return words;
}

function isMissing(path: Path, { value }: IssueContext): boolean {
  return path.length > 0 && valueAt(value, path) === undefined;
}

function missing(path: Path, context: IssueContext): Problem {
  const parent = path.slice(0, -1);
  const place = context.source.placeOf([...context.base, ...parent]);
  const where = formatPath([...context.base, ...parent]);
  return {
    file: context.source.file,
    ...place,
    message: `${where === "" ? "" : `${where}: `}"${String(path.at(-1))}" is missing`,
    hint: "add it",
  };
}

function unknownKey(path: Path, key: string, context: IssueContext): Problem {
  const full = [...context.base, ...path];
  const where = formatPath(full);
  return {
    file: context.source.file,
    ...context.source.placeOfKey(full, key),
    message: `${where === "" ? "" : `${where}: `}unknown key "${key}"`,
    hint: suggestion(key, context.keysAt(path)),
  };
}

function problemAt(path: Path, words: string, { source, base }: IssueContext, within?: Place): Problem {
  const full = [...base, ...path];
  const where = formatPath(full);
  const place = within === undefined ? source.placeOf(full) : source.placeInText(full, within);
  return { file: source.file, ...place, message: where === "" ? words : `${where}: ${words}` };
}

/** `did you mean "keys"?` or the list of what is known. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .toSorted((a, b) => a.distance - b.distance)[0];
  if (near !== undefined) return `did you mean "${near.candidate}"?`;
  return known.length === 0 ? "no keys are known here" : `known: ${known.join(", ")}`;
}

/** Levenshtein distance, the swap of two neighbours counting as one. */
function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array.from({ length: b.length }, () => 0)]);
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let j = 0; j <= b.length; j++) (rows[0] as number[])[j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(i - 2, j - 2) + 1);
      (rows[i] as number[])[j] = best;
    }
  }
  return at(a.length, b.length);
}

/** `tenants[0].plugins.sinks[1]`. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}

export function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (at === null || typeof at !== "object") return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}
