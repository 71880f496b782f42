import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeEvent, encodeEvent } from "../../core/canonical/codec.ts";
import { NAME_PATTERN } from "../../core/canonical/event.ts";
import { timestampFault } from "../../core/canonical/timestamp.ts";
import type { CanonicalEvent, TransformDefinition, TransformOutcome, TransformPlugin } from "../contract.ts";
import { type Check, definitionChecks, optionsOf } from "./checks.ts";
import { contextOf, eventOf } from "./events.ts";
import { payloads } from "./payloads.ts";

/** A transform and what to try it with. */
export interface TransformSuite {
  readonly definition: TransformDefinition;
  /** Configurations, as a user writes them, under which it must take any event; `[{}]` when absent. */
  readonly configs?: readonly unknown[];
  /**
   * A folder of pairs `NAME.input.json` (`{ config, event }`) → `NAME.expected.json` (the outcome).
   * With `UPDATE_GOLDEN=1` in the environment, what is expected is written from what is.
   */
  readonly golden?: URL | undefined;
}

const PAYLOADS = 300;

/** The promises of a transform, to be run one by one. */
export function transformChecks({ definition, configs = [{}], golden }: TransformSuite): Check[] {
  return [
    ...definitionChecks(definition),
    ...(golden === undefined ? [] : goldenChecks(definition, fileURLToPath(golden))),
    ...configs.flatMap((config) => anyEventChecks(definition, config)),
  ];
}

function goldenChecks(definition: TransformDefinition, folder: string): Check[] {
  const files = readdirSync(folder);
  const inputs = files.filter((file) => file.endsWith(".input.json"));
  const whole = {
    name: "has golden files, and each is one of a pair",
    async run() {
      assert.ok(inputs.length > 0, `${folder} has no NAME.input.json`);
      const known = new Set(inputs.flatMap((input) => [input, expectedOf(input)]));
      const strange = files.filter((file) => !known.has(file));
      assert.deepEqual(strange, [], `no input in ${folder} goes with ${strange.join(", ")}`);
      return undefined;
    },
  };
  const pairs = inputs.map((input) => ({
    name: `turns ${input} into what is expected`,
    async run() {
      const { config, event } = JSON.parse(readFileSync(join(folder, input), "utf8")) as GoldenInput;
      const plugin = await start(definition, config);
      const outcome = await plugin.process(decodeEvent(encodeEvent(event)), contextOf());
      const text = `${JSON.stringify(outcome, null, 2)}\n`;
      const file = join(folder, expectedOf(input));
      if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, text);
      const expected = existsSync(file) ? readFileSync(file, "utf8") : "";
      assert.equal(text, expected, `${file} is not what comes out; UPDATE_GOLDEN=1 writes it anew`);
      return undefined;
    },
  }));
  return [whole, ...pairs];
}

function expectedOf(input: string): string {
  return input.replace(/\.input\.json$/, ".expected.json");
}

interface GoldenInput {
  readonly config?: unknown;
  readonly event: CanonicalEvent;
}

function anyEventChecks(definition: TransformDefinition, config: unknown): Check[] {
  const withConfig = `with ${JSON.stringify(config)}`;
  return [
    {
      name: `answers any event with a valid outcome, ${withConfig}`,
      async run() {
        const plugin = await start(definition, config);
        for (const payload of payloads(PAYLOADS)) {
          const outcome = await answerTo(plugin, payload);
          checkOutcome(outcome, eventOf(payload), shown(payload));
        }
        await plugin.close?.();
        return undefined;
      },
    },
    {
      name: `leaves the event that it was given as it was, ${withConfig}`,
      async run() {
        const plugin = await start(definition, config);
        for (const payload of payloads(PAYLOADS)) {
          const event = eventOf(payload);
          const before = encodeEvent({ ...event }).toString();
          await plugin.process(event, contextOf());
          assert.equal(encodeEvent({ ...event }).toString(), before, `changed in place: ${shown(payload)}`);
        }
        await plugin.close?.();
        return undefined;
      },
    },
  ];
}

async function start(definition: TransformDefinition, config: unknown): Promise<TransformPlugin> {
  // Not within the call: a plugin without `init` has options all the same.
  const options = optionsOf(definition, config);
  const plugin = definition.create();
  await plugin.init?.(options);
  return plugin;
}

async function answerTo(plugin: TransformPlugin, payload: string): Promise<TransformOutcome> {
  try {
    return await plugin.process(eventOf(payload), contextOf());
  } catch (cause) {
    throw new Error(`it threw on the payload ${shown(payload)}`, { cause });
  }
}

function checkOutcome(outcome: TransformOutcome, given: CanonicalEvent, payload: string): void {
  if (outcome?.type === "drop" || outcome?.type === "error") {
    assert.equal(typeof outcome.reason, "string", `no reason given for ${payload}`);
    return;
  }
  assert.equal(outcome?.type, "ok", `no outcome for ${payload}`);
  const { event } = outcome;
  for (const name of ["event_id", "tenant_id", "received_at", "source"] as const)
    assert.equal(event[name], given[name], `${name} was changed for ${payload}`);
  assert.match(event.event_type, NAME_PATTERN, `event_type for ${payload}`);
  assert.equal(timestampFault(event.occurred_at), undefined, `occurred_at for ${payload}`);
  assert.ok(
    typeof event.payload === "object" && event.payload !== null && !Array.isArray(event.payload),
    `the payload is no object for ${payload}`,
  );
  encodeEvent(event);
}

function shown(payload: string): string {
  return payload.length <= 200 ? payload : `${payload.slice(0, 200)}…`;
}
