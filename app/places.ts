import type { Clock, Logger } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import { dutiesOf } from "./roles.ts";
import type { Role } from "./roles.ts";

export interface PlacesOptions {
  readonly control: ControlStore;
  /** Names this process among all that share the log. */
  readonly instance: string;
  readonly role: Role;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who shares the log, as far as is known. */
export interface Places {
  /** Processes that take events; at least 1. */
  readonly doors: number;
  /** Tells the others that this process is gone. */
  stop(): Promise<void>;
}

interface Place {
  readonly role: Role;
  /** Milliseconds since the epoch. */
  readonly seenAt: number;
}

const KEY = "processes";
const BEAT_MS = 2_000;
/** Two beats may be missed. */
const GONE_MS = 3 * BEAT_MS;

/** Instances of the processes that are there now, with their roles. */
export async function presentPlaces(control: ControlStore, now: number): Promise<ReadonlyMap<string, Role>> {
  const { value = {} } = await readDocument<Readonly<Record<string, Place>>>(control, KEY);
  const present = Object.entries(value).filter(([, { seenAt }]) => now - seenAt < GONE_MS);
  return new Map(present.map(([instance, { role }]) => [instance, role]));
}

/** Takes a place among the processes of this log, and counts them. What can't be asked leaves the last count. */
export async function takePlace({ control, instance, role, clock, logger }: PlacesOptions): Promise<Places> {
  const stopped = new AbortController();
  let doors = 1;
  const beat = async (isHere: boolean): Promise<void> => {
    const { value } = await updateDocument<Readonly<Record<string, Place>>>(control, KEY, {
      change: (known = {}) => {
        const now = clock.now();
        const others = Object.entries(known).filter(([id, { seenAt }]) => id !== instance && now - seenAt < GONE_MS);
        return { ...Object.fromEntries(others), ...(isHere ? { [instance]: { role, seenAt: now } } : {}) };
      },
    });
    doors = Math.max(1, Object.values(value).filter((place) => dutiesOf(place.role).takesEvents).length);
  };
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(BEAT_MS, stopped.signal);
      if (stopped.signal.aborted) return;
      await beat(true).catch((error: unknown) => logger.warn({ error }, "the other processes can't be counted now"));
    }
  };
  await beat(true);
  const done = loop();
  return {
    get doors() {
      return doors;
    },
    async stop() {
      stopped.abort();
      await done;
      await beat(false).catch((error: unknown) =>
        logger.warn({ error }, "this process is counted for some seconds more"),
      );
    },
  };
}
