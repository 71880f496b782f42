import { isContainer, type Step, takes } from "./paths.ts";

/** Something to be done where a path leads to. */
export interface Rule<A> {
  readonly steps: readonly Step[];
  readonly action: A;
}

export interface Member {
  readonly value: unknown;
  readonly key: string;
  /** The key is an element's index, not a name. */
  readonly inArray: boolean;
}

/** Takes the member or element away. */
export const REMOVED = Symbol("removed");

/** Gives the member another name, at the same place among its siblings. */
export class Renamed {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export interface Editing<A> {
  readonly rules: readonly Rule<A>[];
  /** What becomes of a member where rules end: another value, itself, REMOVED or Renamed. */
  readonly edit: (member: Member, actions: readonly A[]) => unknown;
  /** What becomes of a string or number, for actions that hold for all below the place where their rule ended. */
  readonly editLeaf?: (value: unknown, actions: readonly A[]) => unknown;
  /** Whether an action holds for all below. */
  readonly isDeep?: (action: A) => boolean;
  /** Called where a member could not be renamed, because another has that name. */
  readonly onConflict?: () => void;
}

/** Deeper than any event that PulseGate accepts; keeps the walk off the end of the stack. */
export const DEPTH_MAX = 256;

/**
 * The payload with the rules applied; what no rule touches is shared with the payload that was given,
 * which stays as it is. One walk for all rules, work bounded by nodes × steps. What an edit returned
 * is not walked again. `deep` are actions that hold for all of the payload. Throws a `RangeError` beyond DEPTH_MAX.
 */
export function editPayload<A>(
  payload: Record<string, unknown>,
  editing: Editing<A>,
  deep: readonly A[] = [],
): Record<string, unknown> {
  const states = editing.rules.map((rule) => ({ rule, index: 0 }));
  return walk({ editing, value: payload, states, deep, depth: 0 }) as Record<string, unknown>;
}

/** A rule that has matched up to the step with this index. */
interface State<A> {
  readonly rule: Rule<A>;
  readonly index: number;
}

interface Node<A> {
  readonly editing: Editing<A>;
  readonly value: unknown;
  readonly states: readonly State<A>[];
  readonly deep: readonly A[];
  readonly depth: number;
}

function walk<A>(node: Node<A>): unknown {
  const { editing, value, states, deep, depth } = node;
  if (!isContainer(value)) return deep.length === 0 ? value : (editing.editLeaf?.(value, deep) ?? value);
  if (states.length === 0 && deep.length === 0) return value;
  if (depth >= DEPTH_MAX) throw new RangeError("the payload is nested too deeply");
  return Array.isArray(value) ? walkArray(value, node) : walkObject(value, node);
}

function walkArray<A>(array: readonly unknown[], node: Node<A>): unknown {
  let copy: unknown[] | undefined;
  let removed = false;
  for (let i = 0; i < array.length; i++) {
    const result = visit({ value: array[i], key: String(i), inArray: true }, node);
    if (result === array[i]) continue;
    copy ??= [...array];
    copy[i] = result;
    removed ||= result === REMOVED;
  }
  if (copy === undefined) return array;
  return removed ? copy.filter((element) => element !== REMOVED) : copy;
}

function walkObject<A>(object: Readonly<Record<string, unknown>>, node: Node<A>): unknown {
  let copy: Record<string, unknown> | undefined;
  let names: Map<string, string> | undefined;
  for (const key of Object.keys(object)) {
    const result = visit({ value: object[key], key, inArray: false }, node);
    if (result === object[key]) continue;
    // Spread makes each name an own property, so that a later assignment to `__proto__` is harmless.
    copy ??= { ...object };
    if (result === REMOVED) delete copy[key];
    else if (result instanceof Moved) {
      copy[key] = result.value;
      (names ??= new Map()).set(key, result.name);
    } else copy[key] = result;
  }
  return copy === undefined || names === undefined ? (copy ?? object) : withNames(copy, names, node.editing);
}

/** No member takes the name of another: the second keeps its own. */
function withNames<A>(
  object: Readonly<Record<string, unknown>>,
  names: ReadonlyMap<string, string>,
  { onConflict }: Editing<A>,
): unknown {
  const taken = new Set(Object.keys(object));
  const entries = Object.entries(object).map(([name, value]) => {
    const wanted = names.get(name) ?? name;
    if (wanted === name) return [name, value];
    if (taken.has(wanted)) {
      onConflict?.();
      return [name, value];
    }
    taken.add(wanted);
    return [wanted, value];
  });
  return Object.fromEntries(entries);
}

/** A renamed member whose value has been walked. */
class Moved {
  readonly name: string;
  readonly value: unknown;
  constructor(name: string, value: unknown) {
    this.name = name;
    this.value = value;
  }
}

function visit<A>(member: Member, node: Node<A>): unknown {
  const { editing, states, depth } = node;
  const next: State<A>[] = [];
  const ended: A[] = [];
  for (const state of states) advance(state, member, next, ended);
  const deep = deepActions(node, ended);
  const edited = ended.length === 0 ? member.value : editing.edit(member, ended);
  if (edited !== member.value && !(edited instanceof Renamed)) return edited;
  const walked = walk({ editing, value: member.value, states: next, deep, depth: depth + 1 });
  return edited instanceof Renamed && walked !== REMOVED ? new Moved(edited.name, walked) : walked;
}

/** Where a rule stands after the member: nowhere, one step on or at its end, and for `**` also where it was. */
function advance<A>(state: State<A>, member: Member, next: State<A>[], ended: A[]): void {
  const { steps } = state.rule;
  let { index } = state;
  // `**` may also stand for no step at all.
  for (; (steps[index] as Step).type === "anywhere"; index++) add(state.rule, index, state, next);
  if (!takes(steps[index] as Step, member.key, member.inArray)) return;
  if (index + 1 === steps.length) ended.push(state.rule.action);
  else add(state.rule, index + 1, undefined, next);
}

function add<A>(rule: Rule<A>, index: number, state: State<A> | undefined, next: State<A>[]): void {
  for (const known of next) if (known.rule === rule && known.index === index) return;
  next.push(state?.index === index ? state : { rule, index });
}

function deepActions<A>({ editing, deep }: Node<A>, ended: readonly A[]): readonly A[] {
  const { isDeep } = editing;
  if (ended.length === 0 || isDeep === undefined) return deep;
  const added = ended.filter((action) => isDeep(action));
  return added.length === 0 ? deep : [...deep, ...added];
}
