import { Ajv2020 } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import fastify from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ask, startAdminGate } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate } from "../../tests/helpers/admin-gate.ts";
import { OPERATIONS } from "./operations/index.ts";
import { addAdminRoutes } from "./routes.ts";

interface Item {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { description: string; content: Record<string, { schema: object }> }>>;
}

let gate: AdminGate;
let paths: Readonly<Record<string, Readonly<Record<string, Item>>>>;

beforeAll(async () => {
  gate = await startAdminGate();
  const { body } = await ask(gate.url, "/admin/v1/openapi.json", { token: undefined });
  expect(body.openapi).toBe("3.1.0");
  paths = body.paths;
});

afterAll(async () => {
  await gate.close();
});

test("the document names every route that the server has, and no other", async () => {
  const routes: string[] = [];
  const app = fastify();
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat()) routes.push(`${one} ${url.replaceAll(/:(\w+)/g, "{$1}")}`);
  });
  const others = new Set<string>();
  await addAdminRoutes(app, undefined as never);
  await app.close();
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  // GET brings HEAD with it; every other method on a known path is answered with 405.
  const served = routes.filter((route) => !route.startsWith("HEAD ") && !others.has(route));
  const answered: string[] = [];
  for (const route of served) {
    const [method = "", path = ""] = route.split(" ");
    const response = await ask(gate.url, path.replaceAll(/\{\w+\}/g, "1"), {
      method,
      headers: { "if-match": "*" },
    }).catch(() => undefined);
    if (response !== undefined && response.status !== 405) answered.push(route);
  }
  const tail = "GET /admin/v1/tenants/{tenant}/tail";
  expect(answered.toSorted()).toEqual([...documented, "GET /admin/v1/openapi.json"].toSorted());
  expect(documented).toContain(tail);
});

test("each operation has its own id", () => {
  const ids = OPERATIONS.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});

test("each status has only codes that have it", () => {
  for (const item of Object.values(paths)) {
    for (const { responses } of Object.values(item)) {
      for (const [status, { description }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        const codes = description.split("; ").map((part) => part.split(":")[0] as ErrorCode);
        for (const code of codes) expect(ERROR_CODES[code].http).toBe(Number(status));
      }
    }
  }
});

test("every answer of a route that needs no more than a look is what the document says", async () => {
  const ajv = new Ajv2020({ strict: false });
  ajvFormats.default(ajv);
  await gate.log.openLane({ stream: { tenantId: "shop", partition: 0 }, sink: "raw" }, "start");
  const values: Readonly<Record<string, string>> = {
    tenant: "shop",
    partition: "0",
    sink: "raw",
    number: "7",
    key: "web",
  };
  for (const one of OPERATIONS) {
    if (one.method !== "GET" || typeof one.response === "string") continue;
    const query = { diff_revisions: "?from=6&to=7", find_events: "?id=a" }[one.id] ?? "";
    const path = one.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? "1");
    const { status, body } = await ask(gate.url, `/admin/v1${path}${query}`);
    const item = paths[`/admin/v1${one.path}`]?.["get"];
    const content = item?.responses[String(status)]?.content;
    expect(content, `${one.id} answered ${status}`).toBeDefined();
    const schema = content?.["application/json"]?.schema;
    if (schema === undefined) continue;
    const validate = ajv.compile(schema);
    expect(validate(body), `${one.id}: ${ajv.errorsText(validate.errors)} ${JSON.stringify(body)}`).toBe(true);
  }
});
