import { Ajv2020 } from "ajv/dist/2020.js";
import { parse as parseYaml } from "yaml";
import { describe, expect, test } from "vitest";
import { FOUNDING, PLUGIN_FIXTURES, parse } from "../tests/helpers/config-fixtures.ts";
import { fileJsonSchema, jsonSchemaOf, keysAt, schemaAt } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { ConfigSchema } from "./schema.ts";

const ajv = new Ajv2020({ strict: false, allErrors: true });
const validate = ajv.compile(fileJsonSchema(PLUGIN_FIXTURES));

describe("the JSON Schema for editors", () => {
  test.each([
    ["the founding block", FOUNDING],
    ["every kind of value", "limits: { event_bytes_max: 2048, body_timeout: 5s }\nworkers: { threads: auto }"],
    ["nothing", "{}"],
  ])("accepts %s", (_name, text) => {
    expect([validate(parseYaml(text)), validate.errors]).toEqual([true, null]);
  });

  test.each([
    ["an unknown key", "htttp: {}"],
    ["a wrong unit", "limits: { body_timeout: 5 }"],
    ["an unknown plugin", "tenants: [{ id: a, plugins: { sinks: [{ name: nope }] } }]"],
    [
      "a plugin's wrong option",
      "tenants: [{ id: a, plugins: { sinks: [{ name: kafka_sink, config: { topic: 1 } }] } }]",
    ],
  ])("refuses %s, as the parser does", (_name, text) => {
    expect(validate(parseYaml(text))).toBe(false);
    expect(parse(text).ok).toBe(false);
  });

  test("marks secrets and tells defaults as a user writes them", () => {
    const schema = jsonSchemaOf(ConfigSchema);
    expect(schemaAt(schema, ["ops", "admin_token"])).toMatchObject({ secret: true });
    expect(schemaAt(schema, ["limits", "event_bytes_max"])).toMatchObject({ default: "1MiB" });
    expect(schemaAt(schema, ["tenants", 0, "plugins", "sinks", 3, "retry", "backoff"])?.default).toBe("200ms..1m");
  });

  test("every setting has a description", () => {
    const without: string[] = [];
    const visit = (schema: JsonSchema, path: string): void => {
      for (const [name, inner] of Object.entries(schema.properties ?? {})) {
        if (inner.description === undefined) without.push(`${path}.${name}`);
        visit(inner, `${path}.${name}`);
        if (inner.items !== undefined) visit(inner.items, `${path}.${name}[]`);
      }
    };
    visit(jsonSchemaOf(ConfigSchema), "");
    expect(without).toEqual([]);
  });

  test("knows the keys that may stand in a mapping", () => {
    expect(keysAt(jsonSchemaOf(ConfigSchema), ["http"])).toEqual(["host", "port", "memory_bytes_max"]);
    expect(keysAt(jsonSchemaOf(ConfigSchema), ["http", "port"])).toEqual([]);
  });
});
