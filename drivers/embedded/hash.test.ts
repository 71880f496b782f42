import { describe, expect, it } from "vitest";
import { KeyedHash } from "./hash.ts";

const digests = (texts: readonly string[]): string[] => {
  const hash = new KeyedHash({ key0: 0x01234567, key1: 0x89abcdef });
  const from = hash.prefix("event_id\0acme");
  return texts.map((text) => {
    hash.digest(from, text);
    return [hash.hi, hash.lo].map((word) => word.toString(16).padStart(8, "0")).join("");
  });
};

describe("the hash of names", () => {
  // Sidecars and filters on disk are made of it.
  it("stays what it was", () => {
    const texts = ["", "a", "abc", "abcd", "abcde", "0197a3c2-7c1a-7000-8abc-0123456789ab", "x".repeat(255)];
    expect(digests(texts)).toEqual(EXPECTED);
  });

  it("is not touched by the text before", () => {
    const texts = ["x".repeat(3000), "abcde", "yyyyyyyyyyyyyyyy", "abcde", "", "y"];
    expect(digests(texts)).toEqual(texts.map((text) => digests([text])[0]));
  });
});

/** As written down when the format was made. */
const EXPECTED = [
  "8e076dff21ad1588",
  "75810092c7dff0dd",
  "e8b843b1a662e463",
  "bb71e2f5497dc230",
  "fd32b41bf99cd5e3",
  "95f1e05a71fd83f2",
  "5919f0b460fd59fd",
];
