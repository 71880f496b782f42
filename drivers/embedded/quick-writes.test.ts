import { describe, expect, it } from "vitest";
import { type Disk, realDisk } from "./disk.ts";
import { AT_ONCE_BYTES_MAX, QUICK_WRITES_MIN, SLOW_WRITE_MS, withQuickWrites } from "./quick-writes.ts";

/** Notes how each write came; it takes `writeMs`, and waits for `finish` when it does not block. */
function scene() {
  const state = { now: 0, writeMs: 1, failing: undefined as Error | undefined };
  const kinds: string[] = [];
  const answers: Array<string | number> = [];
  let finish = (): void => {};
  const disk: Disk = {
    ...realDisk,
    writeSync() {
      kinds.push("at once");
      state.now += state.writeMs;
      if (state.failing !== undefined) throw state.failing;
    },
    write(_file, bytes, _position, done) {
      kinds.push("aside");
      finish = () => {
        state.now += state.writeMs;
        done(null, bytes.length);
      };
    },
  };
  const quick = withQuickWrites(disk, { monotonic: () => state.now });
  const write = (bytes = 10): void => {
    quick.write(0, new Uint8Array(bytes), 0, (error, written) => answers.push(error?.message ?? written));
    if (kinds.at(-1) === "aside") finish();
  };
  const warmUp = (): void => {
    for (let i = 0; i < QUICK_WRITES_MIN; i++) write();
    kinds.length = 0;
    answers.length = 0;
  };
  return { state, kinds, answers, write, warmUp };
}

describe("a write", () => {
  it("blocks only after many quick ones in a row", () => {
    const { kinds, write } = scene();
    for (let i = 0; i < QUICK_WRITES_MIN; i++) write();
    expect(new Set(kinds)).toEqual(new Set(["aside"]));
    write();
    expect(kinds.at(-1)).toBe("at once");
  });

  it("does not block any more after a slow one, until as many were quick again", () => {
    const { state, kinds, write, warmUp } = scene();
    warmUp();
    state.writeMs = SLOW_WRITE_MS;
    write();
    write();
    state.writeMs = 1;
    for (let i = 0; i < QUICK_WRITES_MIN; i++) write();
    expect(kinds).toEqual(["at once", ...new Array<string>(QUICK_WRITES_MIN + 1).fill("aside")]);
    write();
    expect(kinds.at(-1)).toBe("at once");
  });

  it("of many bytes never blocks", () => {
    const { kinds, write, warmUp } = scene();
    warmUp();
    write(AT_ONCE_BYTES_MAX);
    write(AT_ONCE_BYTES_MAX + 1);
    write();
    expect(kinds).toEqual(["at once", "aside", "at once"]);
  });

  it("that blocks answers with the bytes written, or with the error of the storage", () => {
    const { state, answers, write, warmUp } = scene();
    warmUp();
    write();
    state.failing = new Error("EIO");
    write();
    expect(answers).toEqual([10, "EIO"]);
  });
});
