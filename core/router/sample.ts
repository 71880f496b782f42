const RANGE = 2 ** 32;

/**
 * Whether an event belongs to a share of all events, from 0 to 1. Decided by its id alone: the same on
 * each delivery, in each lane and at each replay, and a larger share holds all of a smaller one.
 */
export function isSampled(eventId: string, share: number): boolean {
  return hashOf(eventId) < share * RANGE;
}

/** FNV-1a over UTF-16 units, then murmur3's last step, since ids often differ in their last characters only. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
