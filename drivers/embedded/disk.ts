import fs from "node:fs";
import { makeFolder } from "./make-folder.ts";

/**
 * The file operations that the embedded log is built on, so that tests can put a failing, tearing or
 * filling disk in their place. Errors carry `code` as in node:fs. Writes through a descriptor of
 * `openForAppend` are durable when they complete (O_DSYNC).
 */
export interface Disk {
  makeFolder(path: string): void;
  list(folder: string): string[];
  /** Makes creations, renames and removals in the folder durable. */
  syncFolder(folder: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  create(path: string): number;
  openForAppend(path: string): number;
  openForRead(path: string): number;
  close(file: number): void;
  size(file: number): number;
  /** 0 where there is no such file. */
  sizeOf(path: string): number;
  sync(file: number): void;
  writeSync(file: number, bytes: Uint8Array, position: number): void;
  /** May write less than asked for; `done` gets the number of bytes, also before this returns. */
  write(
    file: number,
    bytes: Uint8Array,
    position: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void;
  /** Bytes read, less than asked for at the end of the file. */
  readSync(file: number, target: Uint8Array, position: number): number;
  read(file: number, target: Uint8Array, position: number): Promise<number>;
}

const { O_RDWR, O_RDONLY, O_CREAT, O_TRUNC, O_DSYNC } = fs.constants;

export const realDisk: Disk = {
  makeFolder: (path) => makeFolder(path, 0o700),
  list: (folder) => fs.readdirSync(folder).sort(),
  syncFolder(folder) {
    const file = fs.openSync(folder, O_RDONLY);
    try {
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  },
  rename: (from, to) => fs.renameSync(from, to),
  remove: (path) => fs.rmSync(path, { force: true }),
  create: (path) => fs.openSync(path, O_RDWR | O_CREAT | O_TRUNC, 0o600),
  openForAppend: (path) => fs.openSync(path, O_RDWR | (O_DSYNC ?? fs.constants.O_SYNC)),
  openForRead: (path) => fs.openSync(path, O_RDONLY),
  close: (file) => fs.closeSync(file),
  size: (file) => fs.fstatSync(file).size,
  sizeOf: (path) => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0,
  sync: (file) => fs.fdatasyncSync(file),
  writeSync(file, bytes, position) {
    let written = 0;
    while (written < bytes.length) {
      written += fs.writeSync(file, bytes, written, bytes.length - written, position + written);
    }
  },
  write(file, bytes, position, done) {
    fs.write(file, bytes, 0, bytes.length, position, done);
  },
  readSync(file, target, position) {
    let got = 0;
    while (got < target.length) {
      const read = fs.readSync(file, target, got, target.length - got, position + got);
      if (read === 0) break;
      got += read;
    }
    return got;
  },
  read(file, target, position) {
    return new Promise((resolve, reject) => {
      const step = (got: number): void => {
        fs.read(file, target, got, target.length - got, position + got, (error, read) => {
          if (error !== null) reject(error);
          else if (read === 0 || got + read === target.length) resolve(got + read);
          else step(got + read);
        });
      };
      step(0);
    });
  },
};

export function errorCodeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "UNKNOWN";
}

/** The storage has no room: nothing is wrong with what is stored, and room may come back. */
export function isOutOfSpace(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === "ENOSPC" || code === "EDQUOT";
}
