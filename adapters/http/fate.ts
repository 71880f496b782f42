import type { Fate } from "../../core/ingestion/fate.ts";
import type { Exchange } from "./exchange.ts";

/** What became of a tenant's event, by id or position; undefined when this tenant has no such event. */
export type FateLookup = (tenantId: string, idOrPosition: string) => Promise<Fate | undefined>;

/** Three characters for each of the longest position's. */
const SEGMENT_CHARS_MAX = 512;

/** `GET /v1/events/{event_id}`: of the credential's tenant alone; another's event is as unknown as one that never was. */
export function getFate(exchange: Exchange, segment: string, fate: FateLookup): void {
  const idOrPosition = decoded(segment);
  const tenantId = exchange.admitted?.tenant.id;
  if (idOrPosition === undefined || tenantId === undefined) return notFound(exchange);
  fate(tenantId, idOrPosition).then(
    (found) => (found === undefined ? notFound(exchange) : exchange.replyText(200, JSON.stringify(found))),
    (error: unknown) => exchange.fail(error),
  );
}

function decoded(segment: string): string | undefined {
  if (segment.length > SEGMENT_CHARS_MAX) return undefined;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function notFound(exchange: Exchange): void {
  exchange.refuse("not_found", "no such event in the log");
}
