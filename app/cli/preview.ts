import { printLine, printRows } from "./print.ts";

export interface Preview {
  readonly sinks: ReadonlyArray<{
    readonly sink: string;
    readonly events: number;
    readonly delivered_anew: number;
    readonly filtered: number;
    readonly dead: number;
    readonly changed: number;
    readonly unknown: number;
    readonly is_partial: boolean;
    readonly examples: readonly Example[];
  }>;
}

interface Example {
  readonly event_id: string;
  readonly recorded: string;
  readonly today: string;
  readonly changes: ReadonlyArray<{ readonly path: string; readonly before?: unknown; readonly after?: unknown }>;
}

const COLUMNS = ["sink", "events", "delivered_anew", "filtered", "dead", "changed", "unknown"];

/** What is different today, sink by sink, then examples. */
export function printPreview({ sinks }: Preview): void {
  printRows(sinks, COLUMNS, "Nothing is selected.");
  for (const { sink, examples, is_partial: isPartial, events } of sinks) {
    if (isPartial) printLine(`${sink}: the first ${events} selected events were looked at`);
    for (const example of examples) printExample(sink, example);
  }
  const isSame = sinks.every((sink) => sink.delivered_anew + sink.filtered + sink.dead + sink.changed === 0);
  if (isSame && sinks.length > 0) printLine("Nothing comes out differently today.");
}

function printExample(sink: string, { event_id: id, recorded, today, changes }: Example): void {
  printLine(`${sink}  ${id}  ${recorded} → ${changes.length > 0 ? `${today}, changed` : today}`);
  for (const { path, before, after } of changes) printLine(`    ${path}: ${valueOf(before)} → ${valueOf(after)}`);
}

function valueOf(value: unknown): string {
  return value === undefined ? "absent" : JSON.stringify(value);
}
