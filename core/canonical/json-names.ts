import type { Members } from "./json-scan.ts";
import { skipSpace, skipString } from "./json-scan.ts";

/** The decoded name of a member; lone surrogates stay what they are. */
export function memberName(bytes: Buffer, members: Members, index: number): string {
  return nameBetween(bytes, members.spans[index * 4] as number, members.spans[index * 4 + 1] as number);
}

function nameBetween(bytes: Buffer, from: number, to: number): string {
  const text = bytes.toString("utf8", from, to);
  return text.includes("\\") ? (JSON.parse(`"${text}"`) as string) : text;
}

/** Indexes of the members whose decoded name an earlier member has; at most `max`. */
export function repeatedMembers(bytes: Buffer, members: Members, max = 16): number[] {
  if (members.count > PAIRWISE_MAX || members.escapedNames) return repeatedByName(bytes, members, max);
  const repeated: number[] = [];
  const { spans } = members;
  for (let i = 0; i < members.count; i++) {
    const hash = hashOf(bytes, spans[i * 4] as number, spans[i * 4 + 1] as number);
    for (let k = 0; k < i; k++) {
      if (hashes[k] !== hash || !sameName(bytes, spans, i, k)) continue;
      if (repeated.length < max) repeated.push(i);
      break;
    }
    hashes[i] = hash;
  }
  return repeated;
}

/** Up to here comparing all pairs costs less than making strings for a set. */
const PAIRWISE_MAX = 48;
const hashes = new Int32Array(PAIRWISE_MAX);

function repeatedByName(bytes: Buffer, members: Members, max: number): number[] {
  const seen = new Set<string>();
  const repeated: number[] = [];
  for (let i = 0; i < members.count && repeated.length < max; i++) {
    const name = memberName(bytes, members, i);
    if (seen.has(name)) repeated.push(i);
    seen.add(name);
  }
  return repeated;
}

/** FNV-1a; what collides is compared byte by byte. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash;
}

function sameName(bytes: Buffer, spans: Int32Array, a: number, b: number): boolean {
  const from = spans[a * 4] as number;
  const other = spans[b * 4] as number;
  const length = (spans[a * 4 + 1] as number) - from;
  if ((spans[b * 4 + 1] as number) - other !== length) return false;
  for (let i = 0; i < length; i++) if (bytes[from + i] !== bytes[other + i]) return false;
  return true;
}

/** Longer pointers name the nearest ancestor that fits: names come from clients and are echoed. */
const POINTER_CHARS_MAX = 512;

/** RFC 6901 pointer to the member with this name; to the whole when the name is too long to be echoed. */
export function pointerTo(name: string): string {
  return name.length > POINTER_CHARS_MAX ? "" : `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

interface Frame {
  readonly isObject: boolean;
  /** Of the array element, or of the name's first byte. */
  at: number;
  nameTo: number;
}

/**
 * RFC 6901 pointer to the value that a scanner was in when it reached `offset`, in the text that
 * starts at `from`. Walks the text again, so that the scanner need not keep track of where it is.
 */
export function pointerAt(bytes: Buffer, from: number, offset: number): string {
  const frames = framesAt(bytes, skipSpace(bytes, from, offset), offset);
  let pointer = "";
  for (const frame of frames) {
    if (frame.isObject && frame.nameTo < 0) break;
    const step = pointerTo(frame.isObject ? nameBetween(bytes, frame.at, frame.nameTo) : String(frame.at));
    if (step === "" || pointer.length + step.length > POINTER_CHARS_MAX) break;
    pointer += step;
  }
  return pointer;
}

function framesAt(bytes: Buffer, from: number, offset: number): Frame[] {
  const frames: Frame[] = [];
  let i = from;
  while (i < offset) {
    const top = frames.at(-1);
    const c = String.fromCharCode(bytes[i] as number);
    if (c === '"') {
      const behind = skipString(bytes, i + 1, offset);
      if (behind < 0) break;
      if (top?.isObject === true && top.nameTo < 0) {
        top.at = i + 1;
        top.nameTo = behind - 1;
      }
      i = behind;
      continue;
    }
    if (c === "{" || c === "[") frames.push({ isObject: c === "{", at: 0, nameTo: -1 });
    else if (c === "}" || c === "]") frames.pop();
    else if (c === "," && top !== undefined) {
      if (top.isObject) top.nameTo = -1;
      else top.at++;
    }
    i++;
  }
  return frames;
}
