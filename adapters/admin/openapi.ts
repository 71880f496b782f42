import { z } from "zod";
import { ERROR_CODES, VIOLATION_CODES } from "../../core/canonical/errors.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import type { Operation } from "./operation.ts";

/** What any route may answer. */
const COMMON: readonly ErrorCode[] = [
  "malformed_request",
  "unauthenticated",
  "forbidden",
  "internal",
  "log_unavailable",
];

/** The OpenAPI 3.1 document of the operations, as JSON text. */
export function openApiText(operations: readonly Operation[]): string {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const one of operations) {
    const path = `/admin/v1${one.path}`;
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operationObject(one) };
  }
  return JSON.stringify({
    openapi: "3.1.0",
    info: { title: "PulseGate admin API", version: "1", license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    security: [{ token: [] }],
    paths,
    components: { securitySchemes: { token: { type: "http", scheme: "bearer" } }, schemas: { Problem: PROBLEM } },
  });
}

function operationObject(one: Operation): object {
  const { id, summary, description, role, scope } = one;
  const reach = scope === "global" ? "a token for all tenants" : "a token for all tenants or for this one";
  return {
    operationId: id,
    summary,
    description: `${description === undefined ? "" : `${description} `}Needs the role ${role}, and ${reach}.`,
    parameters: parametersOf(one),
    ...(one.body === undefined ? {} : { requestBody: bodyOf(one.body) }),
    responses: responsesOf(one),
  };
}

function parametersOf({ path, query, ifMatch, id }: Operation): object[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    return { name, in: "path", required: true, schema: { type: "string" } };
  });
  const schema = query === undefined ? undefined : schemaOf(query, "output");
  const required = query === undefined ? [] : requiredOf(query);
  const inQuery = Object.entries(schema?.properties ?? {}).map(([name, { description, ...rest }]) => {
    return { name, in: "query", required: required.includes(name), description, schema: rest };
  });
  const headers = [];
  if (ifMatch !== undefined) {
    headers.push({ name: "If-Match", in: "header", required: ifMatch === "required", schema: { type: "string" } });
  }
  if (id === "create_job") headers.push({ name: "Idempotency-Key", in: "header", schema: { type: "string" } });
  return [...inPath, ...inQuery, ...headers];
}

function bodyOf(body: NonNullable<Operation["body"]>): object {
  if (body === "yaml") return { required: true, content: { "application/yaml": { schema: { type: "string" } } } };
  return { content: { "application/json": { schema: schemaOf(body, "input") } } };
}

function responsesOf({ status, response, errors, ifMatch, body }: Operation): object {
  const codes: ErrorCode[] = [...COMMON, ...(errors ?? [])];
  if (body !== undefined && !codes.includes("body_too_large")) codes.push("body_too_large", "unsupported_media_type");
  const problems = new Map<string, ErrorCode[]>();
  for (const code of new Set(codes)) {
    const http = String(ERROR_CODES[code].http);
    problems.set(http, [...(problems.get(http) ?? []), code]);
  }
  const content =
    typeof response === "string"
      ? { [response]: { schema: { type: "string" } } }
      : { "application/json": { schema: schemaOf(response, "output") } };
  const etag = ifMatch === undefined ? {} : { headers: { ETag: { schema: { type: "string" } } } };
  return {
    [String(status ?? 200)]: { description: "Done.", content, ...etag },
    ...Object.fromEntries([...problems].map(([http, some]) => [http, problemResponse(some)])),
  };
}

function problemResponse(codes: readonly ErrorCode[]): object {
  return {
    description: codes.map((code) => `${code}: ${ERROR_CODES[code].title}`).join("; "),
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

interface JsonObject {
  readonly properties?: Readonly<Record<string, { readonly description?: string }>>;
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): JsonObject {
  const { $schema: _, "~standard": __, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest as JsonObject;
}

/** What has no default must be given. */
function requiredOf(query: z.ZodObject): string[] {
  return Object.entries(query.shape)
    .filter(([, field]) => !(field as z.ZodType).safeParse(undefined).success)
    .map(([name]) => name);
}

const PROBLEM = {
  type: "object",
  required: ["type", "title", "status", "detail", "code", "retryable"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { enum: Object.keys(ERROR_CODES) },
    retryable: { type: "boolean" },
    trace_id: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        properties: {
          pointer: { type: "string", description: "RFC 6901, into the query or the body." },
          code: { enum: Object.keys(VIOLATION_CODES) },
          detail: { type: "string" },
        },
      },
    },
  },
};
