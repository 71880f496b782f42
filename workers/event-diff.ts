/** One place of an event that a transform changed; a value that is absent was added or removed. */
export interface Change {
  /** `event_type`, `payload.user.email`, `payload.items[0]`. */
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** The changes from one event to another, each at its deepest place, in the order of the first. */
export function changesBetween(before: object, after: object): Change[] {
  return changesAt("", before, after);
}

function changesAt(path: string, before: unknown, after: unknown): Change[] {
  if (before === undefined) return after === undefined ? [] : [{ path, after }];
  if (after === undefined) return [{ path, before }];
  if (!isMembers(before) || !isMembers(after) || Array.isArray(before) !== Array.isArray(after))
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => {
    const inner = Array.isArray(before) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    return changesAt(inner, ownMember(before, name), ownMember(after, name));
  });
}

function ownMember(of: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(of, name) ? of[name] : undefined;
}

// ES2025 "JSON.parse source text access"; the type library does not have it yet.
const { isRawJSON: isRawJson } = JSON as unknown as { isRawJSON(this: void, value: unknown): boolean };

/** Lists count as members by index; a raw number is a value. */
function isMembers(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !isRawJson(value);
}
