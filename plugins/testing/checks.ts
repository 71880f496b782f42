import { strict as assert } from "node:assert";
import type { PluginDefinition } from "../contract.ts";

/** One promise that a plugin must keep. */
export interface Check {
  readonly name: string;
  /** Rejects with how it is not kept. Resolves with what kept it from being checked, if something did. */
  readonly run: () => Promise<string | undefined>;
}

/** What holds for plugins of both kinds. */
export function definitionChecks(definition: PluginDefinition): Check[] {
  return [
    {
      name: "states what it is",
      async run() {
        assert.match(definition.name, /^[A-Za-z0-9_.-]{1,64}$/, "`name` is 1 to 64 letters, digits, _ . or -");
        assert.match(definition.version, /^\d+\.\d+\.\d+/, "`version` is a semantic version");
        assert.notEqual(definition.summary, "", "`summary` says in one line what it does");
        const { name, version } = definition.create();
        assert.deepEqual({ name, version }, { name: definition.name, version: definition.version });
        return undefined;
      },
    },
    {
      name: "makes an instance of its own for each use",
      async run() {
        assert.notEqual(definition.create(), definition.create());
        return undefined;
      },
    },
    {
      name: "describes its options",
      async run() {
        const { config } = definition;
        if (config === undefined) return "it has none";
        assert.equal(config.def.type, "object", "`config` is a z.object({ … })");
        for (const [name, option] of Object.entries((config as unknown as ObjectSchema).shape))
          assert.ok(option.description ?? option.meta()?.description, `option ${name} has a .describe("…")`);
        return undefined;
      },
    },
  ];
}

interface ObjectSchema {
  readonly shape: Readonly<
    Record<string, { readonly description?: string; meta(): { description?: string } | undefined }>
  >;
}

/** Options as a user writes them, as the plugin's `init` gets them. */
export function optionsOf(definition: PluginDefinition, config: unknown): unknown {
  return definition.config?.parse(config ?? {});
}
