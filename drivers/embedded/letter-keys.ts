import { createCipheriv, createDecipheriv, randomBytes, randomFillSync } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import type { Database, RootDatabase } from "lmdb";
import { realDisk } from "./disk.ts";

/** A key is free, or a letter's (then it stands in neither list), or was a letter's and is still to be overwritten. */
type Place = [list: "free" | "spent", key: number];

const FILE = "letter-keys";
const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Keys made and synced at once, ahead of need: a letter costs no sync of its own. */
const KEYS_AT_ONCE = 1_024;

/**
 * Keys, one for each dead letter, in a file beside the state. The state does not overwrite what it frees; a key
 * is overwritten in place, and with it goes what it sealed, wherever in the state that still lies. Lists of
 * keys are part of the state, so that a key is never lost before its letter is.
 */
export class LetterKeys {
  private readonly folder: string;
  private readonly places: Database<true, Place>;
  private file: number | undefined;

  constructor(env: RootDatabase, folder: string) {
    this.folder = folder;
    this.places = env.openDB<true, Place>({ name: "letter-keys" });
  }

  /** Within a transaction: seals a text with a key of its own. */
  seal(clear: Buffer): { readonly key: number; readonly sealed: Buffer } {
    const key = this.take();
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.read(key), nonce);
    const text = cipher.update(clear);
    return { key, sealed: Buffer.concat([nonce, text, cipher.final(), cipher.getAuthTag()]) };
  }

  /** Undefined when the key is not the one any more that it was sealed with. */
  open(key: number, sealed: Uint8Array): Buffer | undefined {
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, this.read(key), sealed.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(sealed.subarray(end));
    const text = decipher.update(sealed.subarray(NONCE_BYTES, end));
    try {
      return Buffer.concat([text, decipher.final()]);
    } catch {
      return undefined;
    }
  }

  /** Within the transaction that removes the letter. */
  spend(key: number): void {
    void this.places.put(["spent", key], true);
  }

  /** The first of those that are still to be overwritten. */
  spent(limit: number): number[] {
    return [...this.places.getKeys({ start: ["spent", 0], limit })].map(([, key]) => key);
  }

  /** Overwrites them, durably; to be called when it is durable that their letters are gone. */
  overwrite(keys: readonly number[]): void {
    const file = this.opened();
    for (const key of keys) realDisk.writeSync(file, randomBytes(KEY_BYTES), key * KEY_BYTES);
    realDisk.sync(file);
  }

  /** Within a transaction: they were overwritten. */
  free(keys: readonly number[]): void {
    for (const key of keys) {
      void this.places.remove(["spent", key]);
      void this.places.put(["free", key], true);
    }
  }

  close(): void {
    if (this.file !== undefined) realDisk.close(this.file);
    this.file = undefined;
  }

  private take(): number {
    const free = () => [...this.places.getKeys({ start: ["free", 0], end: ["spent", 0], limit: 1 })][0]?.[1];
    let key = free();
    if (key === undefined) {
      this.make();
      key = free() as number;
    }
    void this.places.remove(["free", key]);
    return key;
  }

  /** Keys of a transaction that came to nothing stay in the file unused. */
  private make(): void {
    const file = this.opened();
    const first = Math.ceil(realDisk.size(file) / KEY_BYTES);
    realDisk.writeSync(file, randomFillSync(Buffer.alloc(KEYS_AT_ONCE * KEY_BYTES)), first * KEY_BYTES);
    realDisk.sync(file);
    for (let i = 0; i < KEYS_AT_ONCE; i++) void this.places.put(["free", first + i], true);
  }

  private read(key: number): Buffer {
    const bytes = Buffer.alloc(KEY_BYTES);
    realDisk.readSync(this.opened(), bytes, key * KEY_BYTES);
    return bytes;
  }

  private opened(): number {
    if (this.file !== undefined) return this.file;
    const path = join(this.folder, FILE);
    const isNew = !fs.existsSync(path);
    this.file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    if (isNew) realDisk.syncFolder(this.folder);
    return this.file;
  }
}
