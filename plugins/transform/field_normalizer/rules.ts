import { editPayload, type Editing, Renamed, REMOVED, type Rule as PathRule } from "../edit.ts";
import { isContainer, parseField, parsePath, readField, withField } from "../paths.ts";
import type { Rule } from "./config.ts";
import { normalized, Unfit } from "./values.ts";

type Payload = Record<string, unknown>;

/** What a step has to know of the event, and tell of it. */
export interface Watcher {
  /** The payload's numbers are written as they came, not as JavaScript spells them. */
  readonly ownSpellings: boolean;
  /** A value did not fit and was kept or removed. */
  unfit(): void;
  /** A member was left where it was, because another has its new name or place. */
  conflict(): void;
}

/** The payload after one rule; it shares with the payload before what the rule does not touch. Throws `Failed`. */
export type Step = (payload: Payload, watcher: Watcher) => Payload;

/** A value did not fit, and the rule says that the event shall fail then. */
export class Failed extends Error {}

export function compile(rules: readonly Rule[]): Step[] {
  return rules.map((rule, index) => {
    if (rule.action === "move") return move(rule);
    if (rule.action === "default") return fill(rule);
    return edit(rule, `rule ${index + 1} (${rule.action} ${rule.field})`);
  });
}

function edit(rule: Rule, label: string): Step {
  const rules: PathRule<Rule>[] = [{ steps: parsePath(rule.field), action: rule }];
  return (payload, watcher) => {
    const editing: Editing<Rule> = {
      rules,
      onConflict: () => watcher.conflict(),
      edit: ({ value, key, inArray }) => {
        if (rule.action === "remove") return REMOVED;
        if (rule.action !== "rename") return attempted(value, rule, label, watcher);
        return inArray ? value : renamed(value, key, rule);
      },
    };
    return editPayload(payload, editing);
  };
}

function renamed(value: unknown, key: string, { to, style }: Rule): unknown {
  const name = to ?? (style === "snake" ? snake(key) : camel(key));
  return name === key ? value : new Renamed(name);
}

/** userId → user_id, HTTPStatus → http_status, user-id → user_id. */
function snake(name: string): string {
  return name
    .replace(/(\p{Ll}|\p{N})(\p{Lu})/gu, "$1_$2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1_$2")
    .replace(/[\s-]+/g, "_")
    .toLowerCase();
}

/** user_id → userId; a mark at the start stays. */
function camel(name: string): string {
  return name.replace(/(?<=.)[_\s-]+(\p{L}|\p{N})/gu, (_, next: string) => next.toUpperCase());
}

function attempted(value: unknown, rule: Rule, label: string, watcher: Watcher): unknown {
  try {
    return normalized(value, rule, watcher.ownSpellings);
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    if (rule.on_error === "fail") throw new Failed(`${label}: ${error.message}`, { cause: error });
    watcher.unfit();
    return rule.on_error === "remove" ? REMOVED : value;
  }
}

function move(rule: Rule): Step {
  const from = parseField(rule.field);
  const to = parseField(rule.to as string);
  const taking = { rules: [{ steps: parsePath(rule.field), action: rule }], edit: () => REMOVED };
  return (payload, watcher) => {
    const value = readField(payload, from);
    if (value === undefined) return payload;
    const without = editPayload(payload, taking);
    const moved = readField(without, to) === undefined ? withField(without, to, value) : undefined;
    if (moved === undefined) watcher.conflict();
    return moved ?? payload;
  };
}

/** Puts a value where there is none. Each event gets one of its own, for a later transform may change it in place. */
function fill(rule: Rule): Step {
  const steps = parsePath(rule.field);
  const name = (steps.at(-1) as { name: string }).name;
  const parents: PathRule<Rule>[] = [{ steps: steps.slice(0, -1), action: rule }];
  const filled = (object: unknown): unknown => {
    if (!isContainer(object) || Array.isArray(object) || !lacks(object, name)) return object;
    return { ...object, [name]: structuredClone(rule.value) };
  };
  if (steps.length === 1) return (payload) => filled(payload) as Payload;
  if (steps.every(({ type }) => type === "name" || type === "index")) {
    const field = parseField(rule.field);
    return (payload) => {
      if ((readField(payload, field) ?? null) !== null) return payload;
      return withField(payload, field, structuredClone(rule.value)) ?? payload;
    };
  }
  return (payload) => editPayload(payload, { rules: parents, edit: ({ value }) => filled(value) });
}

function lacks(object: Readonly<Payload>, name: string): boolean {
  return !Object.hasOwn(object, name) || object[name] === null;
}
