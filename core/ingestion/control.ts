import { isErrorCode, PulseGateError } from "../canonical/errors.ts";
import type { ControlStore } from "./log.ts";

/** A document as it was read or written last; version 0 when it does not exist. */
export interface Document<T> {
  readonly value: T | undefined;
  readonly version: number;
}

export interface UpdateOptions<T> {
  /** The version that the caller has seen: rejects with `precondition_failed` when it is another by now. */
  readonly expected?: number | undefined;
  /** The new value; called again when another process was quicker. What it throws is passed on. */
  readonly change: (current: T | undefined) => T;
}

/** Someone else may win a few times in a row, not for ever. */
const TRIES_MAX = 32;

export async function readDocument<T>(control: ControlStore, key: string): Promise<Document<T>> {
  const found = await control.get(key);
  return found === undefined ? { value: undefined, version: 0 } : { value: found.value as T, version: found.version };
}

/** Changes a control document by compare-and-set; gives it as written. */
export async function updateDocument<T>(
  control: ControlStore,
  key: string,
  { expected, change }: UpdateOptions<T>,
): Promise<{ readonly value: T; readonly version: number }> {
  for (let tries = 1; ; tries++) {
    const { value, version } = await readDocument<T>(control, key);
    if (expected !== undefined && expected !== version) throw changedMeanwhile(expected, version);
    const next = change(value);
    try {
      return { value: next, version: await control.put(key, next, version) };
    } catch (error) {
      if (!isErrorCode(error, "version_conflict") || tries >= TRIES_MAX) throw error;
    }
  }
}

function changedMeanwhile(expected: number, version: number): PulseGateError {
  return new PulseGateError(
    "precondition_failed",
    `it was changed by another: it is at version ${version}, not ${expected}`,
  );
}
