import { createHmac } from "node:crypto";

const PREFIX = "whsec_";
const KEY_BYTES_MIN = 24;
const KEY_BYTES_MAX = 64;

/** `whsec_` and 24 to 64 bytes in base64, as Standard Webhooks has it. */
export function isSecret(text: string): boolean {
  if (!text.startsWith(PREFIX) || !/^[A-Za-z0-9+/]+={0,2}$/.test(text.slice(PREFIX.length))) return false;
  const { length } = keyOf(text);
  return length >= KEY_BYTES_MIN && length <= KEY_BYTES_MAX;
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), "base64");
}

export interface Message {
  readonly id: string;
  /** Seconds since the epoch, of this attempt. */
  readonly timestampSecs: number;
  readonly body: Uint8Array;
}

/** The `webhook-signature` of a message: one signature for each secret, so that a receiver may have any of them. */
export function signer(secrets: readonly string[]): (message: Message) => string {
  const keys = secrets.map(keyOf);
  return ({ id, timestampSecs, body }) => {
    const head = `${id}.${timestampSecs}.`;
    return keys.map((key) => `v1,${createHmac("sha256", key).update(head).update(body).digest("base64")}`).join(" ");
  };
}

/**
 * The event's id as `webhook-id`. A full stop in it would let whoever chose the id pass parts of it
 * off as timestamp and body of another message with the same signature; so it is written `%2E`.
 */
export function webhookId(eventId: string): string {
  return eventId.replace(/[%.]/g, (character) => (character === "." ? "%2E" : "%25"));
}
