import { setTimeout as pause } from "node:timers/promises";
import type { AdminOptions } from "./admin-client.ts";
import { findAdmin, reach } from "./instance.ts";
import { printJson, printLine } from "./print.ts";
import { parseExposition } from "./top/exposition.ts";
import { renderTop } from "./top/render.ts";
import { type Scrape, type Sort, topRows } from "./top/rows.ts";

export interface TopOptions extends AdminOptions {
  readonly sort: Sort;
  readonly intervalSeconds: number;
}

/** Home, then clear to the end: redraws without a flicker. */
const REDRAW = "\u001b[H\u001b[J";
const LINES_DEFAULT = 24;
const NEXT = "is PulseGate running? `pulsegate dev` starts one";

/**
 * `top`: tenants and lanes, from the difference between two looks at the metrics. Live on a terminal;
 * one table into a pipe, one snapshot with --json.
 */
export async function showTop(options: TopOptions): Promise<void> {
  const { url } = await findAdmin(options.data);
  const isLive = process.stdout.isTTY && options.json !== true;
  for (let before = await scrape(url); ; ) {
    await pause(options.intervalSeconds * 1000);
    const now = await scrape(url);
    const rows = topRows(before, now, options.sort);
    before = now;
    if (options.json === true) return printJson({ interval_seconds: options.intervalSeconds, items: rows });
    if (!isLive) return printLine(renderTop(rows, Number.POSITIVE_INFINITY));
    const lines = process.stdout.rows || LINES_DEFAULT;
    const title = `PulseGate at ${url}, every ${options.intervalSeconds} s, by ${options.sort}. Ctrl-C ends it.`;
    process.stdout.write(`${REDRAW}${title.slice(0, 80)}\n\n${renderTop(rows, lines - 3)}\n`);
  }
}

async function scrape(opsUrl: string): Promise<Scrape> {
  const response = await reach(new URL("/metrics", opsUrl).href, {}, NEXT);
  return { samples: parseExposition(await response.text()), at: performance.now() / 1000 };
}
