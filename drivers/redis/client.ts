import { createHash } from "node:crypto";
import { Cluster, Command, type Redis, ReplyError } from "ioredis";
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

/** One server as one client reaches it. */
export interface Server {
  readonly raw: Pick<Redis, "callBuffer" | "asking">;
  /** How often its connection was cut: what was sent before a cut is not covered by what is asked after it. */
  cuts: number;
}

/** Commands that wait for their answers: one more would find its time over behind them before it is done. */
const UNDER_WAY_MAX = 1_024;

/** One connection (to a cluster: one for each node) whose commands are sent once: what has no answer has an unknown outcome. */
export class Client {
  readonly raw: Redis | Cluster;
  private readonly servers = new WeakMap<Redis, Server>();
  /** Told when a script finds that keys are gone. */
  onLost: (what: string) => void = () => {};
  /** Told when a commit finds another history than the claim's. */
  onHistory: () => void = () => {};

  private underWay = 0;
  private readonly waiting = new Set<() => void>();

  private constructor(raw: Redis | Cluster) {
    this.raw = raw;
  }

  static async open(options: ConnectOptions): Promise<Client> {
    return new Client(await connect(options));
  }

  get isCluster(): boolean {
    return this.raw instanceof Cluster;
  }

  /** Of all that may be written to. */
  get primaries(): Redis[] {
    return this.raw instanceof Cluster ? this.raw.nodes("master") : [this.raw];
  }

  /** All nodes of a cluster that are known. */
  get nodes(): Array<{ readonly host: string; readonly port: number }> {
    if (!(this.raw instanceof Cluster)) return [];
    return this.raw.nodes("all").map(({ options }) => ({ host: options.host ?? "", port: options.port ?? 0 }));
  }

  /** Of the server that has the key, as far as is known; undefined when there is no connection to it. */
  serverOf(key: string): Server | undefined {
    if (!(this.raw instanceof Cluster)) return this.seen(this.raw);
    const slot = new Command("get", [key]).getSlot();
    const address = this.raw.slots[slot]?.[0];
    return address === undefined ? undefined : this.serverAt(address);
  }

  /** Of a node of the cluster, by `host:port`. */
  serverAt(address: string): Server | undefined {
    const node = this.primaries.find(({ options }) => `${options.host}:${options.port}` === address);
    return node && this.seen(node);
  }

  /** Asks a node of the cluster anew who has which slots; resolves also when that is not told. */
  async refresh(): Promise<void> {
    const { raw } = this;
    if (raw instanceof Cluster) await new Promise<void>((resolve) => raw.refreshSlotsCache(() => resolve()));
  }

  private seen(raw: Redis): Server {
    const known = this.servers.get(raw);
    if (known !== undefined) return known;
    const server: Server = { raw, cuts: 0 };
    raw.on("close", () => server.cuts++);
    this.servers.set(raw, server);
    return server;
  }

  /** Rejects with `log_unavailable` when there is no answer, or `log_full` when Redis has no memory left. */
  async call(command: string, ...args: Argument[]): Promise<Reply> {
    return this.inTurn(async () => (await this.raw.callBuffer(command, ...args)) as Reply);
  }

  /** As `call`. */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    return this.inTurn(() => this.evaluate(script, keys, args));
  }

  /** Sends at once while there is room, else in the order of the calls. */
  private async inTurn(send: () => Promise<Reply>): Promise<Reply> {
    // Whoever leaves hands its room on, so that nobody who comes meanwhile gets in between.
    if (this.underWay >= UNDER_WAY_MAX) await new Promise<void>((resolve) => this.waiting.add(resolve));
    else this.underWay++;
    try {
      this.checkReady();
      return await send();
    } catch (error) {
      throw this.translated(error);
    } finally {
      const [next] = this.waiting;
      if (next === undefined) this.underWay--;
      else {
        this.waiting.delete(next);
        next();
      }
    }
  }

  /** While no node is known, a cluster's client keeps what it is given for as long as that lasts. */
  private checkReady(): void {
    if (this.raw instanceof Cluster && this.raw.status !== "ready")
      throw new Error("no node of the cluster is reached");
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

  close(): void {
    this.raw.disconnect();
  }

  translated(error: unknown): PulseGateError {
    const code = codeOf(error);
    if (code.startsWith("PGLOST")) this.onLost(code.slice("PGLOST ".length));
    if (code.startsWith("PGHISTORY")) this.onHistory();
    return errorOf(error);
  }
}

/** What a server answered, with its code in front; or why there is no answer. */
export function codeOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function errorOf(cause: unknown): PulseGateError {
  if (cause instanceof PulseGateError) return cause;
  const said = codeOf(cause);
  const fenced = /^PG(?:FENCED|HISTORY) (.*)$/s.exec(said);
  if (fenced !== null) return new PulseGateError("fenced", fenced[1] as string);
  if (said.startsWith("PGVERSION ")) return new PulseGateError("version_conflict", said.slice("PGVERSION ".length));
  if (said.startsWith("PGLOST "))
    return new PulseGateError("log_unavailable", `Redis lost what it held: ${said.slice("PGLOST ".length)}.`, {
      cause,
    });
  if (said.startsWith("OOM "))
    return new PulseGateError("log_full", "Redis has no memory left (maxmemory).", { cause, retryAfterMs: 1_000 });
  const answer = answerIn(cause instanceof ReplyError ? said : (LAST_ANSWER.exec(said)?.[1] ?? ""));
  const what = answer === "" ? "Redis did not answer" : `Redis answered "${answer}"`;
  return new PulseGateError("log_unavailable", `${what}; the outcome is unknown. Try again.`, { cause });
}

/** As the client of a cluster tells of an answer that it was given again and again. */
const LAST_ANSWER = /^Too many Cluster redirections\. Last error: ReplyError: (.*)$/s;

/** Redis' own words. It quotes what was sent to it in answers that begin with ERR alone: of those the code is told. */
function answerIn(said: string): string {
  return /^ERR(?= )|^[A-Z]+ .{1,200}/.exec(said)?.[0] ?? "";
}

export function textOf(reply: Reply | undefined): string {
  return reply === null || reply === undefined ? "" : String(reply);
}

export function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? reply : [];
}
