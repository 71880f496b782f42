import { expect, test } from "vitest";
import { LogFiles } from "./files.ts";
import { SharedProgress } from "./shared.ts";
import { openFolder } from "./folder.ts";
import { SimDisk } from "./sim-disk.ts";

function setUp() {
  const disk = new SimDisk();
  const progress = new SharedProgress();
  const files = new LogFiles({ disk, folder: openFolder(disk, "/log", 4096), wait: true, progress });
  /** What a compaction does, as a reader sees it. */
  const exchange = (): void => {
    progress.switching();
    progress.switching();
  };
  return { progress, files, exchange };
}

test("what was read while a segment was compacted is read again: it may be of two files", async () => {
  const { files, exchange } = setUp();
  let reads = 0;
  const result = await files.use(async () => {
    reads++;
    if (reads === 1) exchange();
    return `read ${reads}`;
  });
  expect(result).toBe("read 2");
});

test("so is what failed meanwhile; what fails otherwise fails", async () => {
  const { files, exchange } = setUp();
  let reads = 0;
  const read = async (): Promise<string> => {
    reads++;
    if (reads === 1) exchange();
    if (reads < 3) throw new Error(`read ${reads}`);
    return "done";
  };
  await expect(files.use(read)).rejects.toThrow("read 2");
  expect(await files.use(read)).toBe("done");
});

test("a read that begins while files are exchanged waits for the end of it", async () => {
  const { files, progress } = setUp();
  progress.switching();
  let isDone = false;
  const reading = files.use(async () => "read").finally(() => (isDone = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isDone).toBe(false);
  progress.switching();
  expect(await reading).toBe("read");
});
