import { createHmac } from "node:crypto";
import { numberText } from "../../contract.ts";
import { editPayload, type Member, REMOVED, type Rule as PathRule } from "../edit.ts";
import { isContainer, parsePath } from "../paths.ts";
import type { Config, Rule } from "./config.ts";
import { type Kind, find } from "./detect/index.ts";

/** What is done, from the strongest on: where several rules fit, less is left behind. */
const STRENGTH = ["drop", "mask", "hash", "truncate"] as const;

export type Scrub = (payload: Record<string, unknown>) => Record<string, unknown>;

/** Compiles the rules into one walk. What it makes shares with the payload what no rule touches. */
export function compile({ rules, key, phone_region }: Config): Scrub {
  const pathRules: PathRule<Rule>[] = rules.flatMap((rule) =>
    rule.path === undefined ? [] : [{ steps: parsePath(rule.path), action: rule }],
  );
  const everywhere = strongestFirst(rules.filter((rule) => rule.path === undefined));
  const editing = {
    rules: pathRules,
    isDeep: (rule: Rule) => rule.detect !== undefined,
    edit: ({ value }: Member, matched: readonly Rule[]) => {
      const [rule] = strongestFirst(matched.filter(({ detect }) => detect === undefined));
      return rule === undefined ? value : replaced(value, rule, key);
    },
    editLeaf: (value: unknown, matched: readonly Rule[]) => searched(value, { rules: matched, key, phone_region }),
  };
  return (payload) => editPayload(payload, editing, everywhere);
}

function strongestFirst(rules: readonly Rule[]): Rule[] {
  return rules.toSorted((a, b) => STRENGTH.indexOf(a.action) - STRENGTH.indexOf(b.action));
}

/** A whole value, whatever its type. */
function replaced(value: unknown, rule: Rule, key: string | undefined): unknown {
  if (rule.action === "drop") return REMOVED;
  const text = typeof value === "string" ? value : numberText(value);
  if (rule.action === "hash") return hashed(text ?? JSON.stringify(value), key);
  // Of a list, an object or a boolean no part can be kept that says less than the whole.
  return rule.action === "mask" || text === undefined ? rule.mask_with : truncated(text, rule);
}

interface Search {
  readonly rules: readonly Rule[];
  readonly key: string | undefined;
  readonly phone_region: string | undefined;
}

/** A text, or a number that may be a card's. */
function searched(value: unknown, { rules, key, phone_region }: Search): unknown {
  if (isContainer(value)) return value;
  const text = typeof value === "string" ? value : numberText(value);
  if (text === undefined) return value;
  const byKind = rulesByKind(rules);
  const kinds = typeof value === "string" ? [...byKind.keys()] : [...byKind.keys()].filter((kind) => kind === "card");
  const matches = find(text, kinds, phone_region);
  if (matches.length === 0) return value;
  if (matches.some(({ kind }) => byKind.get(kind)?.action === "drop")) return REMOVED;
  let result = "";
  let at = 0;
  for (const { kind, start, end } of matches) {
    result += text.slice(at, start) + String(replaced(text.slice(start, end), byKind.get(kind) as Rule, key));
    at = end;
  }
  return result + text.slice(at);
}

const compiled = new WeakMap<readonly Rule[], ReadonlyMap<Kind, Rule>>();

function rulesByKind(rules: readonly Rule[]): ReadonlyMap<Kind, Rule> {
  const known = compiled.get(rules);
  if (known !== undefined) return known;
  const weakestFirst = strongestFirst(rules).toReversed();
  const byKind = new Map(weakestFirst.flatMap((rule) => (rule.detect ?? []).map((kind) => [kind, rule] as const)));
  compiled.set(rules, byKind);
  return byKind;
}

function hashed(text: string, key: string | undefined): string {
  return createHmac("sha256", key as string)
    .update(text)
    .digest("hex");
}

/** Counts whole characters. A text that would be kept whole is masked: nothing would have been removed. */
function truncated(text: string, { keep_first, keep_last, mask_with }: Rule): string {
  const characters = Array.from(text);
  if (characters.length <= keep_first + keep_last) return mask_with;
  return (
    characters.slice(0, keep_first).join("") + mask_with + characters.slice(characters.length - keep_last).join("")
  );
}
