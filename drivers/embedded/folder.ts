import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { Disk } from "./disk.ts";

/** What a log's folder holds: `log.json`, `segments/N.seg` (events), `segments/N.idx` (sidecars), `segments/N.flt` (filters), `state/` (LMDB); and `flights/`, which the workers keep there. */
export interface LogFolder {
  readonly path: string;
  readonly segments: string;
  readonly state: string;
  /** Fixed when the log was made. */
  readonly identity: LogIdentity;
}

export interface LogIdentity {
  readonly format: 1;
  /** Marks the blocks of this log. */
  readonly magic: number;
  /** Seed of the id hash. */
  readonly key0: number;
  readonly key1: number;
  readonly segmentBytes: number;
}

/** Opens the folder of a log, making it if there is none. Rejects with `log_corrupt` when it is not what it should be. */
export function openFolder(disk: Disk, path: string, segmentBytes: number): LogFolder {
  const segments = join(path, "segments");
  disk.makeFolder(segments);
  const file = join(path, "log.json");
  if (!disk.list(path).includes("log.json")) writeIdentity(disk, path, newIdentity(segmentBytes));
  return { path, segments, state: join(path, "state"), identity: readIdentity(disk, file) };
}

function newIdentity(segmentBytes: number): LogIdentity {
  const random = randomBytes(12);
  return {
    format: 1,
    // Never 0: zeros are what an unwritten place holds.
    magic: (random.readUInt32LE(0) | 1) >>> 0,
    key0: random.readUInt32LE(4),
    key1: random.readUInt32LE(8),
    segmentBytes: Math.ceil(segmentBytes / 4096) * 4096,
  };
}

function writeIdentity(disk: Disk, path: string, identity: LogIdentity): void {
  const temporary = join(path, "log.json.tmp");
  const file = disk.create(temporary);
  try {
    disk.writeSync(file, Buffer.from(`${JSON.stringify(identity)}\n`), 0);
    disk.sync(file);
  } finally {
    disk.close(file);
  }
  disk.rename(temporary, join(path, "log.json"));
  disk.syncFolder(path);
}

function readIdentity(disk: Disk, path: string): LogIdentity {
  const file = disk.openForRead(path);
  try {
    const bytes = Buffer.alloc(disk.size(file));
    disk.readSync(file, bytes, 0);
    const identity = JSON.parse(bytes.toString("utf8")) as LogIdentity;
    if (identity.format === 1 && identity.magic > 0 && identity.segmentBytes > 0) return identity;
  } catch (cause) {
    throw notReadable(path, cause);
  } finally {
    disk.close(file);
  }
  throw notReadable(path);
}

function notReadable(path: string, cause?: unknown): PulseGateError {
  return new PulseGateError(
    "log_corrupt",
    `${path} is not readable as the identity of a log of format 1. Restore it from a backup, or start with an empty data folder.`,
    { cause },
  );
}

export type SegmentFile = "seg" | "idx" | "flt";

export function segmentPath(folder: LogFolder, segment: number, kind: SegmentFile): string {
  return join(folder.segments, `${String(segment).padStart(10, "0")}.${kind}`);
}

/** Numbers of the segments that have a file of this kind, rising. */
export function listSegments(disk: Disk, folder: LogFolder, kind: SegmentFile): number[] {
  const pattern = new RegExp(`^(\\d{10})\\.${kind}$`);
  return disk.list(folder.segments).flatMap((name) => {
    const match = pattern.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
}

/** Writes a file whole: it appears under its name only once it is durable. */
export function publishFile(disk: Disk, folder: LogFolder, path: string, write: (file: number) => void): void {
  const temporary = `${path}.tmp`;
  try {
    const file = disk.create(temporary);
    try {
      write(file);
      disk.sync(file);
    } finally {
      disk.close(file);
    }
    disk.rename(temporary, path);
    disk.syncFolder(folder.segments);
  } catch (error) {
    disk.remove(temporary);
    throw error;
  }
}

export function removeTemporaries(disk: Disk, folder: LogFolder): void {
  for (const name of disk.list(folder.segments)) if (name.endsWith(".tmp")) disk.remove(join(folder.segments, name));
}

export function corrupt(folder: LogFolder, segment: number, offset: number, what: string): PulseGateError {
  const path = segmentPath(folder, segment, "seg");
  return new PulseGateError(
    "log_corrupt",
    `${path} is damaged at byte ${offset}: ${what}. Nothing was changed. Restore the data folder from a backup or a snapshot of the disk; do not delete the file: acknowledged events lie in it.`,
  );
}

/** What a call gets that comes when the log is being closed. */
export function shuttingDown(): PulseGateError {
  return new PulseGateError("shutting_down", "The ingestion log is closed.");
}
