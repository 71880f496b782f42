/*
 * A record of an id or a key says where its event lies: `partition first time`, a space, 16 bytes of the content's
 * hash, then `index rest`: the event is the one with that index among those that were stored together, from
 * sequence `first` on; `rest` is its idempotency key (of an id) or its event id (of a key). The client makes all from
 * the hash on, so that a script has one text to put together for each event. Zeros as a hash: erased.
 */

const RECORD_HASH_BYTES = 16;

/** `parsed(record)` gives partition, sequence, time, hash and rest, all of them texts. */
export const RECORDS = `
local erasedHash = string.rep('\\0', ${RECORD_HASH_BYTES})
local function parsed(record)
  local p, first, t, at = string.match(record, '^(%d+) (%d+) (%d+) ()')
  local index, rest = string.match(record, '^(%d+) (.*)$', at + ${RECORD_HASH_BYTES})
  return p, string.format('%.0f', tonumber(first) + tonumber(index)), t, string.sub(record, at, at + ${RECORD_HASH_BYTES - 1}), rest
end
`;

/** What the client gives of a record: `hash` has 16 bytes. */
export function recordEnd(index: number, rest: string): string {
  return `${index} ${rest}`;
}

const PLACE = /^(\d+) (\d+) (\d+) /;

export interface Place {
  readonly partition: number;
  readonly sequence: number;
  readonly receivedAt: number;
}

/** Where the record's event lies. */
export function placeOf(record: Buffer): Place {
  const [head, partition, first, receivedAt] = PLACE.exec(record.toString("latin1")) as RegExpExecArray;
  const index = Number.parseInt(record.toString("latin1", head.length + RECORD_HASH_BYTES), 10);
  return { partition: Number(partition), sequence: Number(first) + index, receivedAt: Number(receivedAt) };
}
