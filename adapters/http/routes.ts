export type Operation = "post_event" | "post_batch" | "get_fate" | "get_openapi";

export interface Route {
  /** As in the OpenAPI document: a name in braces stands for one segment. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<string, Operation>>>;
}

/** All that the data port answers. HEAD goes wherever GET does. */
export const ROUTES: readonly Route[] = [
  { path: "/v1/events", methods: { POST: "post_event" } },
  { path: "/v1/events/batch", methods: { POST: "post_batch" } },
  { path: "/v1/events/{event_id}", methods: { GET: "get_fate" } },
  { path: "/openapi.json", methods: { GET: "get_openapi" } },
];

export type Routed =
  /** `segment`: what stands for the name in braces, still percent-encoded. */
  | { readonly operation: Operation; readonly segment: string }
  /** The path is known, the method is not allowed. */
  | { readonly operation: undefined; readonly allow: string };

const POST_EVENT: Routed = { operation: "post_event", segment: "" };
const POST_BATCH: Routed = { operation: "post_batch", segment: "" };

/** Finds the operation of a request; undefined for an unknown path. */
export function routed(method: string, url: string): Routed | undefined {
  if (method === "POST") {
    if (url === "/v1/events") return POST_EVENT;
    if (url === "/v1/events/batch") return POST_BATCH;
  }
  const path = pathOf(url);
  for (const route of ROUTES) {
    const segment = segmentOf(route.path, path);
    if (segment !== undefined) return routedTo(route, method, segment);
  }
  return undefined;
}

/** Without query and fragment, and without the origin of the absolute form (RFC 9112, 3.2.2). */
function pathOf(url: string): string {
  const path = url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?#]*/i, "");
  const end = path.search(/[?#]/);
  return end === -1 ? path : path.slice(0, end);
}

/** "" when the whole path is the same, the segment when the pattern ends in a name, undefined when they don't match. */
function segmentOf(pattern: string, path: string): string | undefined {
  const brace = pattern.indexOf("{");
  if (brace === -1) return path === pattern ? "" : undefined;
  if (!path.startsWith(pattern.slice(0, brace))) return undefined;
  const segment = path.slice(brace);
  return segment === "" || segment.includes("/") ? undefined : segment;
}

function routedTo({ methods }: Route, method: string, segment: string): Routed {
  const operation = methods[method === "HEAD" ? "GET" : method];
  return operation === undefined ? { operation, allow: allowOf(methods) } : { operation, segment };
}

function allowOf(methods: Route["methods"]): string {
  return Object.keys(methods)
    .flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]))
    .join(", ");
}
