import type { JobLane, JobSelection } from "./jobs.ts";
import type { TenantConfig } from "./revision.ts";

/** What a replay would change: asked of the workers, which have the plugins. Plain data. */
export interface PreviewRequest {
  readonly tenantId: string;
  readonly lanes: readonly JobLane[];
  readonly selection: JobSelection;
  /** Looks at so many selected events of each sink at most. */
  readonly eventsMax: number;
  readonly examplesMax: number;
  /** The tenant as earlier revisions had it, as far as that is known. */
  readonly earlier: ReadonlyArray<{ readonly revision: number; readonly tenant: TenantConfig }>;
}

/** Today's transforms and routes against what was recorded, for one sink. */
export interface SinkPreview {
  readonly sink: string;
  /** Selected events that were looked at. */
  readonly events: number;
  /** Not delivered then, and would be today. */
  readonly deliveredAnew: number;
  /** Passed on to the sink then, and filtered today, or for another reason. */
  readonly filtered: number;
  /** Passed on or filtered then, and a dead letter today, by a transform or the route. */
  readonly dead: number;
  /** Delivered then and today, with other content. */
  readonly changed: number;
  /** Nothing is known of then, or of the configuration then: not compared. */
  readonly unknown: number;
  /** Whether more was selected than was looked at. */
  readonly isPartial: boolean;
  readonly examples: readonly PreviewExample[];
}

export interface PreviewExample {
  readonly eventId: string;
  readonly partition: number;
  readonly sequence: number;
  /** `delivered`, `filtered: REASON`, `dead: STAGE CODE`. */
  readonly recorded: string;
  readonly today: string;
  /** What is different in the content, when it is delivered both times. */
  readonly changes: ReadonlyArray<{ readonly path: string; readonly before?: unknown; readonly after?: unknown }>;
}

/** Puts the parts of several workers together, by sink. */
export function mergedPreviews(parts: readonly SinkPreview[], examplesMax: number): SinkPreview[] {
  const sinks = new Map<string, SinkPreview>();
  for (const part of parts) {
    const other = sinks.get(part.sink);
    sinks.set(part.sink, other === undefined ? part : sumOf(other, part, examplesMax));
  }
  return [...sinks.values()].sort((a, b) => (a.sink < b.sink ? -1 : 1));
}

function sumOf(a: SinkPreview, b: SinkPreview, examplesMax: number): SinkPreview {
  return {
    sink: a.sink,
    events: a.events + b.events,
    deliveredAnew: a.deliveredAnew + b.deliveredAnew,
    filtered: a.filtered + b.filtered,
    dead: a.dead + b.dead,
    changed: a.changed + b.changed,
    unknown: a.unknown + b.unknown,
    isPartial: a.isPartial || b.isPartial,
    examples: [...a.examples, ...b.examples].slice(0, examplesMax),
  };
}
