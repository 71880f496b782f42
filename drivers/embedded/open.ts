import path from "node:path";
import { realDisk } from "./disk.ts";
import { openFolder, removeTemporaries } from "./folder.ts";
import { lockFolder } from "./lock.ts";
import { OwnedLog } from "./log.ts";
import { makeFolder } from "./make-folder.ts";
import type { EmbeddedLog, EmbeddedLogOptions } from "./options.ts";
import { removeStaleSidecars } from "./sidecar-reader.ts";
import type { StateStore } from "./state.ts";
import { openState } from "./state-copy.ts";

const MIB = 1 << 20;

/**
 * Opens the log of a folder, as its one owner. Rejects with `log_in_use` when another process has it,
 * `log_corrupt` when something acknowledged is missing or damaged, `log_full` when a first segment
 * finds no room.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  const disk = options.disk ?? realDisk;
  makeFolder(options.path, 0o700);
  realDisk.syncFolder(path.dirname(path.resolve(options.path)));
  const lock = await lockFolder(options.path);
  let state: StateStore | undefined;
  try {
    const folder = openFolder(disk, options.path, options.segmentBytes ?? 64 * MIB);
    removeTemporaries(disk, folder);
    removeStaleSidecars(disk, folder);
    state = await openState(folder.state, options.logger);
    realDisk.syncFolder(options.path);
    const log = new OwnedLog({ options, disk, folder, lock, state });
    await log.start();
    return log;
  } catch (error) {
    await state?.close();
    await lock.release();
    throw error;
  }
}
