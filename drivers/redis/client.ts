import { createHash } from "node:crypto";
import { Cluster, Redis } from "ioredis";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { ConnectOptions } from "./connect.ts";
import { connect } from "./connect.ts";

export type Argument = string | number | Buffer;
export type Reply = Buffer | number | null | readonly Reply[];

/** A Lua script, sent by its hash once the server has it. */
export class Script {
  readonly text: string;
  readonly sha: string;

  constructor(text: string) {
    this.text = text;
    this.sha = createHash("sha1").update(text).digest("hex");
  }
}

/** One connection (to a cluster: one for each node) whose commands are sent once: what has no answer has an unknown outcome. */
export class Client {
  readonly raw: Redis | Cluster;
  /** Told when a script finds that keys are gone. */
  onLost: (what: string) => void = () => {};

  private constructor(raw: Redis | Cluster) {
    this.raw = raw;
  }

  static async open(options: ConnectOptions): Promise<Client> {
    return new Client(await connect(options));
  }

  get isCluster(): boolean {
    return this.raw instanceof Cluster;
  }

  /** Rejects with `log_unavailable` when there is no answer, or `log_full` when Redis has no memory left. */
  async call(command: string, ...args: Argument[]): Promise<Reply> {
    try {
      return (await this.raw.callBuffer(command, ...args)) as Reply;
    } catch (error) {
      throw this.translated(error);
    }
  }

  /** As `call`. */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    try {
      return await this.evaluate(script, keys, args);
    } catch (error) {
      throw this.translated(error);
    }
  }

  private async evaluate(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    try {
      return (await this.raw.callBuffer("EVALSHA", script.sha, keys.length, ...keys, ...args)) as Reply;
    } catch (error) {
      // The server did nothing: it does not know the script (any more).
      if (!codeOf(error).startsWith("NOSCRIPT")) throw error;
      return (await this.raw.callBuffer("EVAL", script.text, keys.length, ...keys, ...args)) as Reply;
    }
  }

  /** Sends the script ahead, to every server that may be asked. */
  async load(script: Script): Promise<void> {
    const nodes = this.raw instanceof Cluster ? this.raw.nodes("master") : [this.raw];
    await Promise.all(nodes.map((node) => node.script("LOAD", script.text)));
  }

  close(): void {
    this.raw.disconnect();
  }

  private translated(error: unknown): PulseGateError {
    const code = codeOf(error);
    if (code.startsWith("PGLOST")) this.onLost(code.slice("PGLOST ".length));
    return errorOf(error);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function errorOf(cause: unknown): PulseGateError {
  if (cause instanceof PulseGateError) return cause;
  const said = codeOf(cause);
  if (said.startsWith("PGFENCED ")) return new PulseGateError("fenced", said.slice("PGFENCED ".length));
  if (said.startsWith("PGVERSION ")) return new PulseGateError("version_conflict", said.slice("PGVERSION ".length));
  if (said.startsWith("PGLOST "))
    return new PulseGateError("log_unavailable", `Redis lost what it held: ${said.slice("PGLOST ".length)}.`, {
      cause,
    });
  if (said.startsWith("OOM "))
    return new PulseGateError("log_full", "Redis has no memory left (maxmemory).", { cause, retryAfterMs: 1_000 });
  return new PulseGateError("log_unavailable", "Redis did not answer; the outcome is unknown. Try again.", { cause });
}

export function textOf(reply: Reply | undefined): string {
  return reply === null || reply === undefined ? "" : String(reply);
}

export function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? reply : [];
}
