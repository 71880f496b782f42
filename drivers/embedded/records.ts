import { isErrorCode } from "../../core/canonical/errors.ts";
import type { Stream } from "../../core/ingestion/log.ts";
import type { LogFiles } from "./files.ts";
import type { Place } from "./recent-ids.ts";
import { BODY_PREFIX_BYTES, FrameView, isBodyIntact } from "./segment-format.ts";
import { corrupt } from "./folder.ts";

/** A stored event with the names that it was stored under. */
export interface StoredRecord {
  readonly stream: Stream;
  readonly sequence: number;
  readonly eventId: string;
  readonly idempotencyKey: string | undefined;
  readonly receivedAt: number;
  readonly body: Buffer;
  readonly isErased: boolean;
}

/** The longest names there can be and the prefix of the body: the rest of a frame is its body. */
const HEAD_BYTES = 16 + 3 * 255 + 8 + BODY_PREFIX_BYTES;
const GUESS_BYTES = 2048;

/** Reads the frame that starts at a place; undefined when its segment was trimmed. */
export async function readRecord(files: LogFiles, place: Place): Promise<StoredRecord | undefined> {
  try {
    return await readOnce(files, place);
  } catch (error) {
    if (!isErrorCode(error, "log_corrupt")) throw error;
    // Its payload may just have been erased, while it was read.
    return readOnce(files, place);
  }
}

async function readOnce(files: LogFiles, place: Place): Promise<StoredRecord | undefined> {
  const file = files.segment(place.segment);
  if (file === undefined) return undefined;
  const room = files.folder.identity.segmentBytes - place.offset;
  let bytes = await readBytes(files, file, place.offset, Math.min(GUESS_BYTES, room));
  let frame = new FrameView().move(bytes, 0);
  if (frame.length < BODY_PREFIX_BYTES || frame.length > room || frame.bodyLength + HEAD_BYTES < frame.length)
    throw damaged(files, place);
  if (frame.length > bytes.length) {
    bytes = await readBytes(files, file, place.offset, frame.length);
    frame = frame.move(bytes, 0);
  }
  const { bodyAt, bodyLength } = frame;
  if (bodyAt + bodyLength > bytes.length || !isBodyIntact(bytes, bodyAt, bodyLength)) throw damaged(files, place);
  return {
    stream: { tenantId: frame.tenantId, partition: frame.partition },
    sequence: frame.sequence,
    eventId: frame.eventId,
    idempotencyKey: frame.idempotencyKey,
    receivedAt: frame.receivedAt,
    body: bytes.subarray(bodyAt, bodyAt + bodyLength),
    isErased: frame.isErased,
  };
}

async function readBytes(files: LogFiles, file: number, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  const reading = files.readAt(file, bytes, position);
  if (reading !== undefined) await reading;
  return bytes;
}

function damaged(files: LogFiles, place: Place) {
  return corrupt(files.folder, place.segment, place.offset, "an event that an id points to is not as it was written");
}
