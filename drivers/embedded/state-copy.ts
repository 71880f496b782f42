import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../core/environment.ts";
import { realDisk } from "./disk.ts";
import { StateStore } from "./state.ts";

/**
 * Opens the state. That of a version that kept dead letters as they are is sealed first, and then written anew:
 * LMDB does not overwrite what it frees. The copy takes the place of the file in one step.
 */
export async function openState(path: string, logger: Logger): Promise<StateStore> {
  const copy = `${path}.copy`;
  rmSync(copy, { recursive: true, force: true });
  const state = new StateStore(path);
  if (!state.isPlain) {
    await state.putSealed();
    await state.forgetKeys();
    return state;
  }
  await state.sealLetters();
  try {
    mkdirSync(copy, { mode: 0o700 });
    await state.copyTo(copy);
    const fresh = new StateStore(copy);
    await fresh.putSealed();
    await fresh.close();
  } catch (error) {
    rmSync(copy, { recursive: true, force: true });
    logger.warn(
      { error },
      "the state can't be written anew: its free pages may hold dead letters that are gone, until the next start",
    );
    return state;
  }
  await state.close();
  renameSync(join(copy, "data.mdb"), join(path, "data.mdb"));
  realDisk.syncFolder(path);
  rmSync(copy, { recursive: true, force: true });
  return new StateStore(path);
}
