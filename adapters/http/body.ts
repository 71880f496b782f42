import type { ErrorCode } from "../../core/canonical/errors.ts";
import type { BodySink, WireRequest } from "./wire.ts";

/** Whose body it is, and who accounts for its memory on the way. */
export interface BodyOwner {
  readonly request: WireRequest;
  /** So many more bytes are held; false when there is no room for them. */
  hold(bytes: number): boolean;
  /** So many bytes came, and more are to come. */
  comes(bytes: number): void;
  /** All of it came. */
  whole(): void;
  /** The client went away before the body was whole. */
  letGo(): void;
  refuse(code: ErrorCode, detail: string): void;
  fail(error: unknown): void;
}

/**
 * Reads a whole body, then calls `done` once; or refuses, with the body not read to its end. Does
 * neither when the client goes away. Small bodies mostly are one chunk, and then nothing is copied.
 */
export function collectBody(owner: BodyOwner, bytesMax: number, done: (body: Buffer) => void): void {
  owner.request.sink = new Collector(owner, bytesMax, done);
}

class Collector implements BodySink {
  private readonly owner: BodyOwner;
  private readonly bytesMax: number;
  private readonly done: (body: Buffer) => void;
  private readonly declared: number;
  private first: Buffer | undefined = undefined;
  private rest: Buffer[] | undefined = undefined;
  private size = 0;
  private held = 0;

  constructor(owner: BodyOwner, bytesMax: number, done: (body: Buffer) => void) {
    this.owner = owner;
    this.bytesMax = bytesMax;
    this.done = done;
    this.declared = Number(owner.request.headers["content-length"]);
  }

  take(chunk: Buffer): void {
    this.size += chunk.length;
    if (this.size > this.bytesMax) return this.stop("body_too_large", `the body is larger than ${this.bytesMax} bytes`);
    if (this.first === undefined) {
      this.first = chunk;
      if (this.size === this.declared) return;
    } else (this.rest ??= [this.first]).push(chunk);
    this.owner.comes(this.size);
    if (!this.hold()) this.stop("overloaded", "too many large bodies are on their way");
  }

  end(): void {
    const { owner, first, rest } = this;
    // A connection that rests keeps its last request: not the body as well.
    owner.request.sink = undefined;
    owner.whole();
    this.hold();
    try {
      this.done(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, this.size));
    } catch (error) {
      owner.fail(error);
    }
  }

  gone(): void {
    this.owner.letGo();
  }

  private stop(code: ErrorCode, detail: string): void {
    this.owner.request.sink = undefined;
    this.owner.refuse(code, detail);
  }

  private hold(): boolean {
    const more = this.size - this.held;
    this.held = this.size;
    return this.owner.hold(more);
  }
}

const EMPTY = Buffer.alloc(0);
