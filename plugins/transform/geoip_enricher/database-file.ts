import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Where the format puts its metadata: within so many bytes of the end. */
const METADATA_BYTES_MAX = 128 * 1024;
const METADATA_MARK = Buffer.from("\xab\xcd\xefMaxMind.com", "latin1");

/** What keeps a file from being a MaxMind database, in words; undefined when nothing does. Reads its end only. */
export function databaseFault(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const stat = fstatSync(file);
    if (!stat.isFile()) return `${path} is not a file`;
    const end = Buffer.alloc(Math.min(stat.size, METADATA_BYTES_MAX));
    readSync(file, end, 0, end.length, stat.size - end.length);
    return end.includes(METADATA_MARK) ? undefined : `${path} is not a MaxMind DB file (.mmdb, not gzip or CSV)`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT"
      ? `there is no file ${path}; download it, e.g. with geoipupdate`
      : `can't read ${path}: ${code ?? String(error)}`;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
