import cliProgress from "cli-progress";
import type { SendState } from "./send-state.ts";

export interface Progress {
  update(state: SendState, rate: number): void;
  stop(): void;
}

/** A bar on standard error, when that is a terminal and the end is known; else nothing. */
export function createProgress(totalBytes: number | undefined): Progress {
  if (totalBytes === undefined || totalBytes === 0 || !process.stderr.isTTY) {
    return { update: () => {}, stop: () => {} };
  }
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: "{bar} {percentage} %  {lines} lines  {rejected} refused  {rate}/s  {eta_formatted} left",
    barsize: 24,
    hideCursor: true,
    // It would take Ctrl-C for itself.
    gracefulExit: false,
  });
  bar.start(totalBytes, 0, { lines: 0, rejected: 0, rate: 0 });
  return {
    update: ({ bytes, lines, rejected }, rate) => {
      bar.update(bytes, { lines, rejected, rate });
    },
    stop: () => {
      bar.stop();
    },
  };
}
