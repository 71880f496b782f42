import type { PluginMetrics } from "../plugins/contract.ts";
import { OTHER } from "./families.ts";
import type { Families } from "./registry.ts";

const COUNTS_MAX = 16;
const TIMINGS_MAX = 4;
const NAME_LENGTH_MAX = 64;

/** What plugins count and time for themselves, by plugin. None can spoil a number, or take the others' room. */
export function pluginMetrics(families: Families): (plugin: string) => PluginMetrics {
  const counts = new OwnNames(COUNTS_MAX);
  const timings = new OwnNames(TIMINGS_MAX);
  return (plugin) => ({
    count: (name, by = 1) => {
      if (isAmount(by)) families.pluginCounts.cell(plugin, counts.of(plugin, name)).value += by;
    },
    observe: (name, seconds) => {
      if (isAmount(seconds)) families.pluginSeconds.cell(plugin, timings.of(plugin, name)).observe(seconds);
    },
  });
}

/** One NaN, or one text, and a count would be none for ever. */
function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < Number.POSITIVE_INFINITY;
}

/** The first so many names of each plugin; all later ones are `other`. */
class OwnNames {
  readonly #max: number;
  readonly #kept = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  of(plugin: string, given: unknown): string {
    const name = String(given).slice(0, NAME_LENGTH_MAX);
    let kept = this.#kept.get(plugin);
    if (kept === undefined) this.#kept.set(plugin, (kept = new Set()));
    if (kept.has(name)) return name;
    if (kept.size >= this.#max) return OTHER;
    kept.add(name);
    return name;
  }
}
