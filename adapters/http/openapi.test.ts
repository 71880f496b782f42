import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import { call, checkSchema, type Gate, startGate } from "../../tests/helpers/http-gate.ts";
import { OPENAPI, OPENAPI_JSON } from "./openapi.ts";
import { ROUTES, routed } from "./routes.ts";

let gate: Gate;
beforeAll(async () => {
  gate = await startGate();
});
afterAll(() => gate.close());

const METHODS = ["get", "put", "post", "delete", "options", "patch", "trace"];
const paths = OPENAPI.paths as Record<
  string,
  Record<string, { operationId: string; responses: Record<string, unknown> }>
>;

describe("the OpenAPI document", () => {
  it("is served without a credential", async () => {
    const answer = await call(`${gate.url}/openapi.json`, { method: "GET", headers: { "x-api-key": "" } });
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(OPENAPI_JSON);
    expect(answer.json.openapi).toBe("3.1.0");
  });

  it("names every route and no other", () => {
    const routes = ROUTES.flatMap(({ path, methods }) =>
      Object.entries(methods).map(([method, operation]) => `${method} ${path} ${operation}`),
    );
    const documented = Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { operationId }]) => `${method.toUpperCase()} ${path} ${operationId}`),
    );
    expect(documented.sort()).toEqual(routes.sort());
  });

  it("is what the running port does: documented methods are answered, all others 405", async () => {
    for (const [path, item] of Object.entries(paths)) {
      for (const method of METHODS) {
        const url = `${gate.url}${path.replace(/\{.*\}/, "some-id")}`;
        const { status } = await call(url, {
          method: method.toUpperCase(),
          ...(method === "post" ? { body: "{}" } : {}),
        });
        if (method in item) expect(Object.keys(item[method]!.responses), `${method} ${path}`).toContain(String(status));
        else expect(status, `${method} ${path}`).toBe(405);
      }
    }
  });

  it("resolves every reference that it makes", () => {
    for (const [, name] of OPENAPI_JSON.matchAll(/"#\/components\/schemas\/(\w+)"/g))
      expect(OPENAPI.components.schemas).toHaveProperty(name!);
  });

  it("describes events as they are judged", () => {
    checkSchema("FlatEvent", { event_type: "a", timestamp: "2025-03-01T12:00:00Z", anything: [1] });
    checkSchema("StructuredEvent", { event_type: "a", payload: {}, event_id: "x" });
    expect(() => checkSchema("StructuredEvent", { event_type: "a", payload: {}, other: 1 })).toThrow();
    expect(() => checkSchema("FlatEvent", { event_type: "a", source: "x" })).toThrow();
    expect(() => checkSchema("FlatEvent", { event_type: "a b" })).toThrow();
  });

  it("gives each status only codes that have it", () => {
    for (const item of Object.values(paths)) {
      for (const { responses } of Object.values(item)) {
        for (const [status, response] of Object.entries(responses) as Array<[string, { description: string }]>) {
          if (Number(status) < 400) continue;
          const codes = response.description.split("; ").map((part) => part.split(":")[0] as keyof typeof ERROR_CODES);
          for (const code of codes) expect(ERROR_CODES[code].http).toBe(Number(status));
        }
      }
    }
  });
});

describe("routed", () => {
  it.each([
    ["http://gate.example/v1/events", "post_event"],
    ["HTTPS://gate.example:8080/v1/events/batch?x", "post_batch"],
    ["/v1/events#x", "post_event"],
  ])("finds POST %s", (url, operation) => expect(routed("POST", url)).toMatchObject({ operation }));

  it.each(["/v1/events/a/b", "/v1/events/", "/v1/eventsx", "//v1/events"])("knows no route for %s", (url) => {
    expect(routed("GET", url)).toBeUndefined();
  });

  it("hands the last segment on as it came", () => {
    expect(routed("HEAD", "/v1/events/a%2Fb?x=1")).toEqual({ operation: "get_fate", segment: "a%2Fb" });
  });
});
