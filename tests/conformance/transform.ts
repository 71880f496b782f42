import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { decodeEvent, encodeEvent, encodeParts, stampReceivedAt } from "../../core/canonical/codec.ts";
import { type CanonicalEvent, EVENT_ID_PATTERN, NAME_PATTERN } from "../../core/canonical/event.ts";
import { timestampFault } from "../../core/canonical/timestamp.ts";
import type { PluginContext, TransformDefinition, TransformOutcome, TransformPlugin } from "../../plugins/contract.ts";

export interface TransformSuite {
  readonly definition: TransformDefinition;
  /**
   * Pairs `NAME.input.json` ({ config, event }) → `NAME.expected.json` (the outcome), compared as text.
   * `UPDATE_GOLDEN=1` writes what is expected from what is. The README stands beside this folder.
   */
  readonly golden: URL;
  /** Configurations (as a user writes them) under which any event at all must be survived. */
  readonly configs: readonly unknown[];
  /** Makes a config of the golden files and the README fit the test, e.g. names files that are there. */
  readonly adapt?: (config: unknown) => unknown;
}

const RUNS = 300;

/** What the pipeline relies on in every transform, and its golden snapshots. */
export function transformConformance(suite: TransformSuite): void {
  const { definition } = suite;
  describe(`${definition.name} as a transform`, () => {
    goldenTests(suite);
    readmeTest(suite);
    test.each(suite.configs.map((config) => [JSON.stringify(config), config]))(
      "never throws on any JSON payload, with %s",
      async (_, config) => {
        const plugin = await load(definition, config);
        await fc.assert(
          fc.asyncProperty(payloadText, async (text) => {
            const bytes = canonicalBytes(text);
            checkOutcome(await plugin.process(decodeEvent(bytes), contextOf()), decodeEvent(bytes));
          }),
          { numRuns: RUNS },
        );
        await plugin.close?.();
      },
    );

    test("leaves the event that it was given as it was", async () => {
      const plugin = await load(definition, suite.configs[0]);
      await fc.assert(
        fc.asyncProperty(payloadText, async (text) => {
          const event = decodeEvent(canonicalBytes(text));
          const before = encodeEvent({ ...event }).toString();
          await plugin.process(event, contextOf());
          expect(encodeEvent({ ...event }).toString()).toBe(before);
        }),
        { numRuns: RUNS },
      );
      await plugin.close?.();
    });

    test("states what it is", () => {
      expect(definition.name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(definition.version).toMatch(/^\d+\.\d+\.\d+$/);
      const plugin = definition.create();
      expect([plugin.name, plugin.version]).toEqual([definition.name, definition.version]);
      expect(definition.create()).not.toBe(plugin);
    });
  });
}

function goldenTests({ definition, golden, adapt = same }: TransformSuite): void {
  const folder = fileURLToPath(golden);
  const files = readdirSync(folder);
  const names = files.flatMap((file) => (file.endsWith(".input.json") ? [file.slice(0, -".input.json".length)] : []));

  test("has golden files, and each of them belongs to a pair", () => {
    expect(names.length).toBeGreaterThan(0);
    const update = process.env["UPDATE_GOLDEN"] === "1";
    const known = names.flatMap((name) => [`${name}.input.json`, `${name}.expected.json`]);
    expect(files.filter((file) => !known.includes(file))).toEqual([]);
    if (!update) expect(known.filter((file) => !files.includes(file))).toEqual([]);
  });

  test.each(names)("turns golden/%s.input.json into what is expected", async (name) => {
    const input = parseExact(readFileSync(join(folder, `${name}.input.json`), "utf8")) as GoldenInput;
    const plugin = await load(definition, adapt(input.config));
    const event = decodeEvent(encodeEvent(input.event));
    const outcome = await plugin.process(event, contextOf());
    await plugin.close?.();
    const text = `${JSON.stringify(written(outcome), null, 2)}\n`;
    const file = join(folder, `${name}.expected.json`);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
    expect(text, "stale? UPDATE_GOLDEN=1 writes it anew").toBe(readFileSync(file, "utf8"));
  });
}

/** The first YAML block of the README is a chain; its first two JSON blocks are a payload (or an event's own members) before and after. */
function readmeTest({ definition, golden, adapt = same }: TransformSuite): void {
  test("does what its README shows", async () => {
    const readme = readFileSync(new URL("../README.md", golden), "utf8");
    const [yaml = ""] = blocksOf(readme, "yaml");
    const [before = "", after = ""] = blocksOf(readme, "json");
    const chain = parse(yaml.replaceAll(/\$\{[^}]*\}/g, README_SECRET)) as {
      transform: { name: string; config?: unknown }[];
    };
    expect(chain.transform.map(({ name }) => name)).toEqual([definition.name]);
    const plugin = await load(definition, adapt(chain.transform[0]?.config));
    const shown = parseExact(before) as Partial<CanonicalEvent>;
    const event = decodeEvent(
      encodeEvent({
        ...decodeEvent(canonicalBytes("{}")),
        ...("payload" in shown ? shown : { payload: shown }),
      }),
    );
    const outcome = await plugin.process(event, contextOf());
    await plugin.close?.();
    if (outcome.type !== "ok") return expect(outcome).toEqual(parseExact(after));
    const { event_type, payload } = parseExact(encodeEvent(outcome.event).toString()) as CanonicalEvent;
    const result = "payload" in shown ? { event_type, payload } : payload;
    expect(JSON.stringify(result, null, 2)).toBe(JSON.stringify(parseExact(after), null, 2));
  });
}

/** Stands for whatever a README's chain takes from outside. */
const README_SECRET = "0123456789abcdef";

function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"))].map((match) => match[1] as string);
}

function same(config: unknown): unknown {
  return config;
}

interface GoldenInput {
  readonly config?: unknown;
  readonly event: CanonicalEvent;
}

/** The outcome with the event as its bytes say it is: what a sink gets. */
function written(outcome: TransformOutcome): unknown {
  return outcome.type === "ok" ? { type: "ok", event: parseExact(encodeEvent(outcome.event).toString()) } : outcome;
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** Numbers stay as they are written, or a golden file could not show that they survive. */
function parseExact(text: string): unknown {
  const keep = (_: string, value: unknown, context: { source?: string }) =>
    typeof value === "number" && String(value) !== context.source ? rawJSON(context.source as string) : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

async function load(definition: TransformDefinition, config: unknown): Promise<TransformPlugin> {
  const plugin = definition.create();
  await plugin.init?.(definition.config?.parse(config ?? {}));
  return plugin;
}

function contextOf(): PluginContext {
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const signal = new AbortController().signal;
  return { tenantId: "tenant_shop_1", logger, metrics: { count() {}, observe() {} }, attempt: 1, signal };
}

function canonicalBytes(payload: string): Buffer {
  const bytes = encodeParts({
    eventId: "event-1",
    tenantId: "tenant_shop_1",
    eventType: "order_paid",
    source: "http",
    occurredAt: "2025-03-01T12:00:00Z",
    idempotencyKey: "key 1",
    payload: Buffer.from(payload),
  });
  stampReceivedAt(bytes, Date.UTC(2026, 10, 24));
  return bytes;
}

/** Objects with names that do harm and names that rules look for, and numbers that doubles can't hold. */
const names = fc.constantFrom(
  "email",
  "user",
  "items",
  "__proto__",
  "constructor",
  "toJSON",
  "length",
  "a.b",
  "",
  "0",
  "card_no",
);
const numbers = fc.constantFrom("12345678901234567890", "-0.10000000000000000001", "1e5", "-0", "0.1");
const payloadText = fc.letrec<{ value: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.json({ maxDepth: 1 }),
    numbers,
    fc.array(tie("value"), { maxLength: 4 }).map((elements) => `[${elements.join(",")}]`),
    tie("object"),
  ),
  object: fc
    .uniqueArray(fc.tuple(fc.oneof(names, fc.string()), tie("value")), { maxLength: 5, selector: ([name]) => name })
    .map((members) => `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`),
})).object;

const IDENTITY = ["event_id", "tenant_id", "received_at", "source"] as const;

function checkOutcome(outcome: TransformOutcome, before: CanonicalEvent): void {
  if (outcome.type === "drop") return expect(outcome.reason).toMatch(/./);
  if (outcome.type === "error")
    return expect([typeof outcome.reason, typeof outcome.retryable]).toEqual(["string", "boolean"]);
  const { event } = outcome;
  for (const field of IDENTITY) expect(event[field]).toBe(before[field]);
  expect(event.event_id).toMatch(EVENT_ID_PATTERN);
  expect(event.event_type).toMatch(NAME_PATTERN);
  expect(timestampFault(event.occurred_at)).toBeUndefined();
  // It can be written, and what is written is a whole event with an object for a payload.
  const again = decodeEvent(encodeEvent(event));
  expect(typeof again.payload === "object" && again.payload !== null && !Array.isArray(again.payload)).toBe(true);
}
