import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FlightRecord, FlightState } from "./suspects.ts";

/**
 * A flight record in a small file of its own. Not synced: it is there for the death of a process,
 * which leaves the system's memory of the file alone; after that of the machine no event is under suspicion.
 */
export class FlightFile implements FlightRecord {
  readonly #path: string;
  readonly #folder: string;
  #file: number | undefined;

  constructor(folder: string, key: string) {
    this.#folder = folder;
    this.#path = join(folder, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  }

  load(): FlightState {
    try {
      const { flying, crashes } = JSON.parse(readFileSync(this.#path, "utf8")) as {
        flying: string[];
        crashes: [string, number][];
      };
      return { flying, crashes: new Map(crashes) };
    } catch {
      // None yet, or cut off by a full disk: then nobody is under suspicion.
      return { flying: [], crashes: new Map() };
    }
  }

  save({ flying, crashes }: FlightState): void {
    try {
      if (this.#file === undefined) {
        mkdirSync(this.#folder, { recursive: true });
        this.#file = openSync(this.#path, "w", 0o600);
      }
      const text = Buffer.from(JSON.stringify({ flying, crashes: [...crashes] }));
      writeSync(this.#file, text, 0, text.length, 0);
      ftruncateSync(this.#file, text.length);
    } catch {
      // A full disk costs the memory of crashes, and must not cost more.
      this.close();
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
