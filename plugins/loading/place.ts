import { stripTypeScriptTypes } from "node:module";
import { basename } from "node:path";

/** Where Node.js begins with the place: `/path/mine.ts:3`, some lines, and `^` under what is wrong with the last. */
const SYNTAX = /^(?:file:\/\/)?(\/[^\n]*):(\d+)\n(?:[^\n]*\n){1,8}?( *)\^/;
/** A frame of a stack. */
const FRAME = /\((?:file:\/\/)?(\/[^\n()]*):(\d+):(\d+)\)$|^\s+at (?:async )?(?:file:\/\/)?(\/[^\n()]*):(\d+):(\d+)$/gm;
/** What is PulseGate's own, or Node's. */
const ROOT = new URL("../../", import.meta.url).pathname;

/** `mine.ts:3:7`, where the code of one of these files can't be read or threw; undefined where nothing tells. */
export function placeOf(error: unknown, files: ReadonlyMap<string, Buffer>): string | undefined {
  return placeIn(error) ?? (error instanceof SyntaxError ? syntaxFault(files) : undefined);
}

/** Of JavaScript's own syntax errors nothing tells the place; the parser of TypeScript does. */
function syntaxFault(files: ReadonlyMap<string, Buffer>): string | undefined {
  for (const [url, content] of files) {
    try {
      stripTypeScriptTypes(content.toString(), { sourceUrl: url });
    } catch (error) {
      return placeIn(error);
    }
  }
  return undefined;
}

function placeIn(error: unknown): string | undefined {
  const stack: unknown = (error as { stack?: unknown } | null | undefined)?.stack;
  if (typeof stack !== "string") return undefined;
  const [, file, line, indent] = SYNTAX.exec(stack) ?? [];
  if (file !== undefined && indent !== undefined) return `${nameOf(file)}:${line}:${indent.length + 1}`;
  for (const [
    ,
    inner,
    innerLine,
    innerColumn,
    outer = inner,
    outerLine = innerLine,
    outerColumn = innerColumn,
  ] of stack.matchAll(FRAME))
    if (outer !== undefined && !outer.startsWith(ROOT)) return `${nameOf(outer)}:${outerLine}:${outerColumn}`;
  return undefined;
}

/** Without the stamp of its state. */
function nameOf(file: string): string {
  return basename(file.replace(/\?.*$/, ""));
}
