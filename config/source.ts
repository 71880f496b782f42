import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Document, Node, Pair, Scalar } from "yaml";
import { offsetInScalar } from "./scalar-place.ts";

export type Path = ReadonlyArray<string | number>;

/** Lines and columns count from 1, as editors do. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxProblem extends Place {
  readonly message: string;
  readonly hint?: string;
  /** The text has a meaning in spite of it, which can be checked further. */
  readonly readable: boolean;
}

/** A parsed YAML text that knows where each value stands. */
export interface Source {
  readonly file: string;
  readonly text: string;
  readonly syntax: readonly SyntaxProblem[];
  /** Plain data; `undefined` for an empty file. */
  toValue(): unknown;
  /** Where the value at a path stands, or the nearest thing above it that the text has. */
  placeOf(path: Path): Place;
  /** Where a key of the mapping at a path stands. */
  placeOfKey(path: Path, key: string): Place;
  /** Where a line and column of the text at a path stand in the file. */
  placeInText(path: Path, within: Place): Place;
  has(path: Path): boolean;
  /** Each string as it stands in the text, quotes and all: where it begins and ends. In the order of the text. */
  strings(): ReadonlyArray<{ readonly path: Path; readonly from: number; readonly to: number }>;
  /** Calls back with each string scalar and its path; what is returned takes its place. */
  replaceStrings(replace: (text: string, path: Path) => string): void;
}

export function parseSource(text: string, file: string): Source {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const placeAt = (offset: number | undefined): Place => {
    const { line, col } = lines.linePos(offset ?? 0);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  return {
    file,
    text,
    syntax: syntaxProblems(doc, text, placeAt),
    toValue: () => doc.toJS() ?? undefined,
    placeOf: (path) => placeAt(offsetOf(doc, path)),
    placeOfKey: (path, key) => placeAt(keyOffset(nodeAt(doc, path), key) ?? offsetOf(doc, path)),
    placeInText: (path, within) => {
      const node = nodeAt(doc, path);
      const offset = isScalar(node) ? offsetInScalar(text, node, offsetOfPlace(String(node.value), within)) : undefined;
      return placeAt(offset ?? offsetOf(doc, path));
    },
    has: (path) => nodeAt(doc, path) !== undefined,
    strings: () => stringsOf(doc),
    replaceStrings: (replace) => {
      replaceStrings(doc, replace);
    },
  };
}

function offsetOfPlace(text: string, { line, column }: Place): number {
  const before = text.split("\n").slice(0, line - 1);
  return before.reduce((sum, one) => sum + one.length + 1, column - 1);
}

/**
 * Repeated keys one by one; of what the parser could not read only the first, since all that follows
 * tends to be its echo.
 */
function syntaxProblems(doc: Document, text: string, placeAt: (offset: number) => Place): SyntaxProblem[] {
  const all = [...doc.errors, ...doc.warnings];
  const first = all.find((error) => error.code !== "DUPLICATE_KEY");
  return all
    .filter((error) => error.code === "DUPLICATE_KEY" || error === first)
    .map((error) => {
      const place = placeAt(error.pos[0]);
      if (error.code === "DUPLICATE_KEY") {
        return { ...place, message: "this key stands here already", hint: "keep one of them", readable: true };
      }
      const hint = hintOf(error.code, text.split("\n")[place.line - 1] ?? "");
      return { ...place, message: `not valid YAML: ${error.message}`, hint, readable: false };
    });
}

function hintOf(code: string, line: string): string {
  if (code === "TAG_RESOLVE_FAILED") return 'put a value that begins with "!" in quotes';
  // In { } and [ ] the braces of ${NAME} are YAML's own.
  if (/[{[].*[^"'\w]\$\{/.test(line)) return 'inside { } and [ ], put it in quotes: "${NAME}"';
  return "check the indentation and the brackets";
}

function offsetOf(doc: Document, path: Path): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node = nodeAt(doc, path.slice(0, length));
    if (node?.range) return node.range[0];
  }
  return undefined;
}

function nodeAt(doc: Document, path: Path): Node | undefined {
  let node: unknown = doc.contents;
  for (const part of path) {
    const parent = resolved(doc, node);
    if (isMap(parent)) node = pairOf(parent.items, String(part))?.value;
    else if (isSeq(parent)) node = parent.items[Number(part)];
    else return undefined;
  }
  return isNode(node) ? node : undefined;
}

function resolved(doc: Document, node: unknown): unknown {
  return isAlias(node) ? node.resolve(doc) : node;
}

function pairOf(items: readonly Pair[], key: string): Pair | undefined {
  return items.find((pair) => nameOf(pair.key) === key);
}

function keyOffset(node: Node | undefined, key: string): number | undefined {
  if (!isMap(node)) return undefined;
  const keyNode = pairOf(node.items, key)?.key;
  return isNode(keyNode) ? keyNode.range?.[0] : undefined;
}

function stringsOf(doc: Document): Array<{ path: Path; from: number; to: number }> {
  return [...scalarsIn(doc.contents, [])].flatMap(({ scalar, path }) => {
    return scalar.range ? [{ path, from: scalar.range[0], to: scalar.range[1] }] : [];
  });
}

function replaceStrings(doc: Document, replace: (text: string, path: Path) => string): void {
  for (const { scalar, path } of scalarsIn(doc.contents, [])) scalar.value = replace(scalar.value, path);
}

/** Values that are strings, in the order of the text; an alias is none of its own. */
function* scalarsIn(node: unknown, path: Path): Generator<{ scalar: Scalar<string>; path: Path }> {
  if (isScalar(node)) {
    if (typeof node.value === "string") yield { scalar: node as Scalar<string>, path };
  } else if (isSeq(node)) {
    for (const [index, item] of node.items.entries()) yield* scalarsIn(item, [...path, index]);
  } else if (isMap(node)) {
    for (const { key, value } of node.items) yield* scalarsIn(value, [...path, nameOf(key)]);
  }
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}
