import type { Members } from "./json-scan.ts";

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;

/**
 * The payload of the flat form: all members that are not PulseGate's, byte for byte and in order,
 * joined by commas. Members whose `fieldOfMember` is not negative are PulseGate's.
 */
export function flatPayload(bytes: Buffer, members: Members, fieldOfMember: Int8Array): Buffer {
  const { spans, count } = members;
  const payload = Buffer.allocUnsafe(payloadSize(members, fieldOfMember));
  payload[0] = OPEN_BRACE;
  let at = 1;
  let i = 0;
  while (i < count) {
    if ((fieldOfMember[i] as number) >= 0) {
      i++;
      continue;
    }
    // Members that lie one comma apart are copied at one go: mostly that is all of them.
    const from = (spans[i * 4] as number) - 1;
    let to = spans[i * 4 + 3] as number;
    for (i++; i < count && (fieldOfMember[i] as number) < 0 && (spans[i * 4] as number) - 2 === to; i++) {
      to = spans[i * 4 + 3] as number;
    }
    if (at > 1) payload[at++] = COMMA;
    at += bytes.copy(payload, at, from, to);
  }
  payload[at] = CLOSE_BRACE;
  return payload;
}

function payloadSize({ spans, count }: Members, fieldOfMember: Int8Array): number {
  // Each member with its quote and one separator; the last one's is the opening brace.
  let size = 1;
  for (let i = 0; i < count; i++) {
    if ((fieldOfMember[i] as number) < 0) size += (spans[i * 4 + 3] as number) - (spans[i * 4] as number) + 2;
  }
  return Math.max(size, EMPTY_SIZE);
}

const EMPTY_SIZE = "{}".length;
