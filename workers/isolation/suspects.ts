/** Crashes with one and the same event, alone, after which it is given up. */
export const CRASHES_MAX = 3;
/** Events known to have been at work when their plugin died; beyond this the oldest are forgotten. */
const SUSPECTS_MAX = 10_000;

/** What is remembered of a plugin's deaths, also across the death of the whole process. */
export interface FlightRecord {
  /** Events that were at work when the process died, or under suspicion, with their crashes so far. */
  load(): FlightState;
  /** Written before the events are handed to the plugin; survives the process, not the machine. */
  save(state: FlightState): void;
  close(): void;
}

export interface FlightState {
  /** Ids of events that are with the plugin. */
  readonly flying: readonly string[];
  /** Event id → crashes that it alone can have caused. */
  readonly crashes: ReadonlyMap<string, number>;
}

/**
 * Which events may have killed their plugin, and how often each certainly did: the one that was with
 * it alone. Suspects are tried one at a time, so that the guilty one takes no other with it.
 */
export class Suspects {
  readonly #record: FlightRecord | undefined;
  readonly #crashes: Map<string, number>;
  readonly #flying = new Map<string, number>();

  constructor(record: FlightRecord | undefined) {
    this.#record = record;
    const { flying, crashes } = record?.load() ?? { flying: [], crashes: new Map() };
    this.#crashes = new Map(crashes);
    this.#suspect(flying);
  }

  has(eventId: string): boolean {
    return this.#crashes.has(eventId);
  }

  /** It certainly killed the plugin as often as an event may. */
  isGuilty(eventId: string): boolean {
    return (this.#crashes.get(eventId) ?? 0) >= CRASHES_MAX;
  }

  /** The events are about to be handed to the plugin. */
  took(eventIds: readonly string[]): void {
    for (const id of eventIds) this.#flying.set(id, (this.#flying.get(id) ?? 0) + 1);
    this.#save();
  }

  /** The plugin came back on the events, with whatever answer. */
  cleared(eventIds: readonly string[]): void {
    for (const id of eventIds) this.#crashes.delete(id);
    this.#landed(eventIds);
  }

  /** The plugin died with these events, and others unless they were `alone`. The crashes of the one that was, this one included. */
  died(eventIds: readonly string[], alone = true): number {
    this.#suspect(eventIds, alone);
    this.#landed(eventIds);
    const [only] = eventIds;
    return eventIds.length === 1 && only !== undefined ? (this.#crashes.get(only) ?? 0) : 0;
  }

  /** It is dead-lettered. */
  forget(eventId: string): void {
    this.#crashes.delete(eventId);
    this.#save();
  }

  close(): void {
    this.#record?.close();
  }

  #suspect(eventIds: readonly string[], alone = true): void {
    const crashes = alone && eventIds.length === 1 ? 1 : 0;
    for (const id of eventIds) {
      this.#crashes.set(id, (this.#crashes.get(id) ?? 0) + crashes);
      for (const oldest of this.#crashes.keys()) {
        if (this.#crashes.size <= SUSPECTS_MAX) break;
        this.#crashes.delete(oldest);
      }
    }
  }

  #landed(eventIds: readonly string[]): void {
    for (const id of eventIds) {
      const times = this.#flying.get(id) ?? 0;
      if (times > 1) this.#flying.set(id, times - 1);
      else this.#flying.delete(id);
    }
    this.#save();
  }

  #save(): void {
    this.#record?.save({ flying: [...this.#flying.keys()], crashes: this.#crashes });
  }
}
