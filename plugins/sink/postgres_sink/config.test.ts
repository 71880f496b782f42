import { expect, test } from "vitest";
import { z } from "zod";
import { config } from "./config.ts";
import { poolConfigOf } from "./target.ts";

const poolOf = (options: Record<string, unknown>) => poolConfigOf(config.parse(options));

test("needs to know where the database is", () => {
  expect(config.safeParse({}).error?.issues.map((issue) => issue.message)).toEqual([
    "`url` or `host` is required: only `pulsegate dev` brings a database of its own",
  ]);
  expect(config.safeParse({ host: "db" }).error?.issues.map((issue) => issue.path)).toEqual([["user"]]);
});

test("takes a URL apart, escapes included", () => {
  expect(poolOf({ url: "postgresql://us%40er:p%2Fw@[::1]:6543/my%20db?application_name=shop" })).toMatchObject({
    host: "::1",
    port: 6543,
    user: "us@er",
    password: "p/w",
    database: "my db",
    application_name: "shop",
    ssl: false,
  });
});

test("states every connection setting, so that the machine's own have no say", () => {
  expect(poolOf({ host: "db", user: "app" })).toMatchObject({
    host: "db",
    port: 5432,
    user: "app",
    password: "",
    database: "app",
  });
  expect(poolOf({ url: "postgres://app@db" })).toMatchObject({ port: 5432, password: "", database: "app" });
});

test("a host of its own wins over a URL that was filled in", () => {
  expect(poolOf({ url: "postgres://dev:secret@127.0.0.1/dev", host: "db", user: "app" })).toMatchObject({
    host: "db",
    password: "",
  });
});

test.each([
  "http://h/d",
  "postgres://h/d",
  "postgres:///d",
  "h",
  "",
  "postgres://u:secret@h/d?sslmode=maybe",
  "postgres://u:secret@h/d?options=-c",
])("refuses the URL %j without repeating it", (url) => {
  const error = config.safeParse({ url }).error;
  expect(error?.issues.length).toBe(1);
  expect(JSON.stringify(error?.issues)).not.toContain("secret");
});

test("refuses an option that it does not know", () => {
  expect(config.safeParse({ url: "postgres://u@h/d", tabel: "x" }).success).toBe(false);
});

test("describes every option and marks what is secret", () => {
  const schema = z.toJSONSchema(config, { io: "input" }) as {
    properties: Record<string, { description?: string; secret?: boolean }>;
  };
  const options = Object.entries(schema.properties);
  expect(options.filter(([, option]) => option.description === undefined)).toEqual([]);
  expect(options.flatMap(([name, option]) => (option.secret === true ? [name] : []))).toEqual(["url", "password"]);
});

test("is plain data that can be posted to a thread", () => {
  const parsed = config.parse({ url: "postgres://u@h/d", tls: { mode: "require" } });
  expect(structuredClone(parsed)).toEqual(parsed);
});
