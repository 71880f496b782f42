import { decodeEvent } from "../core/canonical/codec.ts";
import type { JobSelection } from "../core/ingestion/jobs.ts";
import type { LogEntry } from "../core/ingestion/log.ts";
import { compileCondition } from "../core/router/condition.ts";

/**
 * Whether a job selects an event, ranges of positions aside. Bytes that can't be decoded are selected
 * unless something of the event is asked for. Throws `ConditionError` when the filter is not valid.
 */
export function selectorOf(selection: JobSelection): (entry: LogEntry) => boolean {
  const { receivedFrom = Number.NEGATIVE_INFINITY, receivedTo = Number.POSITIVE_INFINITY, filter } = selection;
  const types = selection.eventTypes === undefined ? undefined : new Set(selection.eventTypes);
  const condition = filter === undefined ? undefined : compileCondition(filter);
  return ({ receivedAt, bytes }) => {
    if (receivedAt < receivedFrom || receivedAt >= receivedTo) return false;
    if (types === undefined && condition === undefined) return true;
    try {
      const event = decodeEvent(bytes);
      return (types?.has(event.event_type) ?? true) && (condition?.matches(event) ?? true);
    } catch {
      return false;
    }
  };
}
