import type { Gap } from "../core/ingestion/lane-slot.ts";
import type { LogEntry } from "../core/ingestion/log.ts";
import { JobSource, notSelected, type Range } from "./job-source.ts";

/** Events of the log once more. */
export class ReplaySource extends JobSource {
  protected async readRange({ from, to, limits }: Range): Promise<readonly (LogEntry | Gap)[]> {
    const { deps, laneOrder } = this.options;
    const entries = await deps.log.read(laneOrder.lane.stream, from, limits);
    const items: (LogEntry | Gap)[] = [];
    let at = from;
    for (const entry of entries) {
      if (entry.sequence >= to) break;
      if (entry.sequence > at) items.push(gone(at, entry.sequence));
      at = entry.sequence + 1;
      if (entry.erasedAt !== undefined) items.push(gone(entry.sequence, at));
      else if (this.isSelected(entry)) items.push(entry);
      else passOver(items, entry.sequence);
    }
    // All that is left of the range was trimmed.
    const isBehind = entries.length === 0 || (entries.at(-1) as LogEntry).sequence >= to;
    if (isBehind && at < to) items.push(gone(at, to));
    return items;
  }
}

function gone(sequence: number, to: number): Gap {
  return { sequence, to, outcome: { type: "erased" } };
}

function passOver(items: (LogEntry | Gap)[], sequence: number): void {
  const last = items.at(-1);
  if (last !== undefined && "to" in last && last.to === sequence && last.outcome.type === "filtered") items.pop();
  else return void items.push(notSelected(sequence, sequence + 1));
  items.push(notSelected(last.sequence, sequence + 1));
}
