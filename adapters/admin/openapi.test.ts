import { Ajv2020 } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import fastify from "fastify";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ERROR_CODES } from "../../core/canonical/errors.ts";
import type { ErrorCode } from "../../core/canonical/errors.ts";
import { ask, startAdminGate } from "../../tests/helpers/admin-gate.ts";
import type { AdminGate } from "../../tests/helpers/admin-gate.ts";
import { threeFates } from "../../tests/helpers/three-fates.ts";
import { OPERATIONS } from "./operations/index.ts";
import { addAdminRoutes } from "./routes.ts";

interface Item {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { description: string; content: Record<string, { schema: object }> }>>;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

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

test("the document names every route that the server answers, and no other", async () => {
  const routes = new Set<string>();
  const app = fastify();
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat()) routes.add(`${one} ${url.replaceAll(/:(\w+)/g, "{$1}")}`);
  });
  await addAdminRoutes(app, undefined as never);
  await app.close();
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const answered: string[] = [];
  for (const route of routes) {
    const [method = "", path = ""] = route.split(" ");
    const url = path.replaceAll(/\{\w+\}/g, "1");
    // GET brings HEAD with it. All methods of a known path have a route: most only to be refused.
    if (method === "HEAD" || !METHODS.includes(method)) continue;
    if ((await ask(gate.url, url, { method, headers: { "if-match": "*" } })).status !== 405) answered.push(route);
  }
  expect(answered.toSorted()).toEqual([...documented, "GET /admin/v1/openapi.json"].toSorted());
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

test("answers are what the document says: each of its looks, on a log with something of everything", async () => {
  const ajv = new Ajv2020({ strict: false });
  ajvFormats.default(ajv);
  await threeFates(gate.log);
  const post = (path: string, body: unknown) => ask(gate.url, `/admin/v1${path}`, { method: "POST", body });
  const job = await post("/tenants/shop/jobs", {
    kind: "redrive",
    canary: { events: 1 },
    rate: { events_per_second: 5 },
  });
  for (const made of [
    job,
    await post("/tenants/shop/keys", { id: "mobile" }),
    await post("/lanes/shop/0/raw/pause", {}),
  ]) {
    expect(made.status).toBeLessThan(300);
  }
  const values: Readonly<Record<string, string>> = {
    ...{ tenant: "shop", partition: "0", sink: "raw", sequence: "1", event: "a", number: "7", key: "web" },
    job: job.body.id,
  };
  for (const one of OPERATIONS) {
    if (one.method !== "GET" || typeof one.response === "string") continue;
    const query = { diff_revisions: "?from=6&to=7", find_events: "?id=a" }[one.id] ?? "";
    const path = one.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => values[name] ?? "");
    const { status, body } = await ask(gate.url, `/admin/v1${path}${query}`);
    expect([one.id, status]).toEqual([one.id, 200]);
    if (Array.isArray(body.items)) expect([one.id, body.items.length > 0]).toEqual([one.id, true]);
    const content = paths[`/admin/v1${one.path}`]?.["get"]?.responses["200"]?.content;
    const validate = ajv.compile(content?.["application/json"]?.schema ?? false);
    expect(validate(body), `${one.id}: ${ajv.errorsText(validate.errors)} ${JSON.stringify(body)}`).toBe(true);
  }
});
