/** Payloads that break careless code, as JSON text. */
const NASTY: readonly string[] = [
  "{}",
  '{"":""}',
  '{"a":null,"b":true,"c":[],"d":{},"e":""}',
  '{"n":12345678901234567890,"f":0.1,"g":1e400,"h":-0,"i":1.10}',
  '{"__proto__":{"x":1},"constructor":"y","toString":"z","hasOwnProperty":1}',
  '{"length":5,"then":"not a promise","toJSON":"no function"}',
  '{"text":"\\u0000\\ud800\\udfff\\n\\u2028\\"\\\\","emoji":"😀"}',
  '{"a.b":{"c[0]":1},"*":"*","$":{"$ref":"#"}}',
  `{"deep":${"[".repeat(200)}${"]".repeat(200)}}`,
  `{"deep":${'{"a":'.repeat(200)}1${"}".repeat(200)}}`,
  `{"long":"${"x".repeat(100_000)}"}`,
  `{${Array.from({ length: 2_000 }, (_, i) => `"k${i}":${i}`).join(",")}}`,
  '{"list":[null,[null,[{}]],{"list":[1,"1",true]}],"mixed":[{"a":1},2,"3"]}',
  '{"ip":"999.1.1.1","email":"@","date":"2025-13-40T99:00:00Z","url":"ht!tp://"}',
];

/** As many payloads again as asked for, the same ones for the same seed. */
export function payloads(count: number, seed = 1): string[] {
  const random = seeded(seed);
  return [...NASTY, ...Array.from({ length: count }, () => JSON.stringify(objectOf(random, 4)))];
}

const NAMES = ["id", "user", "email", "ip", "amount", "items", "a", "b", "created_at", "tags", "0", "é"];
const WORDS = ["", "x", "Ada", "ada@example.org", "8.8.8.8", "2025-03-01T12:00:00Z", "4111111111111111", "NaN", "null"];

function objectOf(random: () => number, depth: number): Record<string, unknown> {
  const size = Math.floor(random() * 6);
  return Object.fromEntries(Array.from({ length: size }, () => [pick(NAMES, random), valueOf(random, depth - 1)]));
}

function valueOf(random: () => number, depth: number): unknown {
  const kind = Math.floor(random() * (depth > 0 ? 7 : 5));
  if (kind === 0) return null;
  if (kind === 1) return random() < 0.5;
  if (kind === 2) return Math.round((random() - 0.5) * 1e6);
  if (kind === 3) return (random() - 0.5) * 10 ** Math.floor(random() * 30 - 15);
  if (kind === 4) return pick(WORDS, random);
  if (kind === 5) return Array.from({ length: Math.floor(random() * 4) }, () => valueOf(random, depth - 1));
  return objectOf(random, depth);
}

function pick<T>(list: readonly T[], random: () => number): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
