import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../core/environment.ts";
import type { Harm } from "./world.ts";

export interface NemesisOptions {
  readonly harms: Readonly<Record<string, Harm>>;
  readonly random: Random;
  readonly seconds: number;
  readonly onHarm: (name: string) => void;
  /** Ends it early, after the harm that is being done. */
  readonly signal?: AbortSignal | undefined;
}

/** Does harm of every kind, in an order by seed, until the time is over. Everything is whole again when it resolves. */
export async function harm({ harms, random, seconds, onHarm, signal }: NemesisOptions): Promise<void> {
  const until = performance.now() + seconds * 1_000;
  for (;;) {
    for (const [name, act] of shuffled(Object.entries(harms), random)) {
      if (performance.now() >= until || signal?.aborted === true) return;
      onHarm(name);
      await act(random);
      await sleep(200 + random() * 800);
    }
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
