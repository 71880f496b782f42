import { closeSync, constants, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { quantile } from "./stats.ts";

/** How long this disk takes to write and sync 16 KiB into a filled file: the floor under any durable ack, in ms. */
export function syncTime(dir: string, rounds = 300): { p50Ms: number; p99Ms: number } {
  const path = join(dir, "sync-time");
  const block = Buffer.alloc(16 * 1024, 1);
  fill(path, block, rounds);
  const fd = openSync(path, constants.O_RDWR | constants.O_DSYNC);
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const started = performance.now();
    writeSync(fd, block, 0, block.length, i * block.length);
    times.push(performance.now() - started);
  }
  closeSync(fd);
  rmSync(path);
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

function fill(path: string, block: Buffer, rounds: number): void {
  const fd = openSync(path, "w");
  for (let i = 0; i < rounds; i++) writeSync(fd, block);
  fsyncSync(fd);
  closeSync(fd);
}
