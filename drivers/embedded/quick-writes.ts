import type { Clock } from "../../core/environment.ts";
import type { Disk } from "./disk.ts";

/** A write that takes longer holds up more than a thread's wake-up would have. */
export const SLOW_WRITE_MS = 5;
/** So many quick writes in a row show that the storage is quick (again). */
export const QUICK_WRITES_MIN = 64;
/** A larger write takes longer than a wake-up costs: meanwhile this thread has other work. */
export const AT_ONCE_BYTES_MAX = 128 * 1024;

/**
 * The disk, with writes done at once, on the calling thread, as long as the storage is quick: handing
 * them to another thread and waking up again costs more than such a write. A slow write is the last for
 * a while: the following ones do not block until enough of them were quick.
 */
export function withQuickWrites(disk: Disk, clock: Pick<Clock, "monotonic">): Disk {
  let quickInRow = 0;
  const noteSince = (started: number): void => {
    quickInRow = clock.monotonic() - started < SLOW_WRITE_MS ? quickInRow + 1 : 0;
  };
  return {
    ...disk,
    write(file, bytes, position, done) {
      const started = clock.monotonic();
      if (quickInRow < QUICK_WRITES_MIN || bytes.length > AT_ONCE_BYTES_MAX) {
        disk.write(file, bytes, position, (error, written) => {
          noteSince(started);
          done(error, written);
        });
        return;
      }
      const error = tryWrite(disk, file, bytes, position);
      noteSince(started);
      done(error, error === null ? bytes.length : 0);
    },
  };
}

function tryWrite(disk: Disk, file: number, bytes: Uint8Array, position: number): NodeJS.ErrnoException | null {
  try {
    disk.writeSync(file, bytes, position);
    return null;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}
