import { setTimeout as pause } from "node:timers/promises";
import { PulseGateError } from "../../core/canonical/errors.ts";
import { type Argument, type Client, codeOf, listOf, type Reply, type Script, type Server } from "./client.ts";

/** What a write waits for beside its reply. */
export interface Waits {
  /** The append-only file is synced once a second: until then. */
  readonly synced: boolean;
  /** Until so many replicas have it. */
  readonly replicas: number;
}

/** Redis syncs once a second, and a disk may be slow. */
const TIMEOUT_MS = 4_000;
/** An answer that says where to ask, or to ask again: nothing was done. */
const REFUSALS_MAX = 64;
const REFUSAL_DELAY_MS = 50;

/** What is asked of a client. */
export type Servers = Pick<Client, "serverOf" | "serverAt" | "refresh" | "call" | "run" | "translated">;

interface Place {
  /** Undefined: not known, or not connected. */
  readonly server: Server | undefined;
  /** The slot is on its way there: each command has to say that it knows. */
  readonly asking: boolean;
}

/**
 * Runs scripts whose outcome has to outlive the server: resolves once the file of the server and enough replicas
 * have what they wrote. That is asked on the very connection that the script went over, so that another server
 * can't answer for it. Scripts that are done while an answer is awaited are asked for together.
 */
export class DurableWriter {
  private readonly client: Servers;
  private readonly waits: () => Waits;
  private readonly asked = new WeakMap<Server, Asked>();

  /** Told when it was not confirmed in time. */
  private readonly onShort: () => void;

  constructor(client: Servers, waits: () => Waits, onShort: () => void) {
    this.client = client;
    this.waits = waits;
    this.onShort = onShort;
  }

  /** Whether anything is waited for. */
  get waiting(): boolean {
    const { synced, replicas } = this.waits();
    return synced || replicas > 0;
  }

  /** As `Client.run`. */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    const waits = this.waits();
    if (!waits.synced && waits.replicas === 0) return this.client.run(script, keys, args);
    try {
      const { reply, server, cuts } = await this.execute(script, keys, args);
      if ((await this.confirmed(server, waits)) === cuts) return reply;
    } catch (error) {
      throw this.client.translated(error);
    }
    throw new PulseGateError("log_unavailable", "The connection to Redis was cut; the outcome is unknown. Try again.");
  }

  private async execute(script: Script, keys: readonly string[], args: readonly Argument[]) {
    let place = this.client.serverOf(keys[0] as string);
    let asking = false;
    let [command, name] = ["EVALSHA", script.sha];
    for (let refusals = 0; ; refusals++) {
      const server = place ?? (await this.located(keys));
      const { cuts } = server;
      try {
        // Written in one turn, so that nothing comes between the two.
        if (asking) server.raw.asking().catch(() => {});
        const reply = (await server.raw.callBuffer(command, name, keys.length, ...keys, ...args)) as Reply;
        return { reply, server, cuts };
      } catch (error) {
        if (refusals === REFUSALS_MAX) throw error;
        if (codeOf(error).startsWith("NOSCRIPT")) [command, name] = ["EVAL", script.text];
        else ({ server: place, asking } = await this.redirected(error, keys));
      }
    }
  }

  /** Rethrows what is no answer, or an answer to what was done. */
  private async redirected(error: unknown, keys: readonly string[]): Promise<Place> {
    const [code = "", , address = ""] = codeOf(error).split(" ", 3);
    if (code === "MOVED") return { server: await this.located(keys), asking: false };
    const known = code === "ASK" ? this.client.serverAt(address) : undefined;
    if (known !== undefined) return { server: known, asking: true };
    if (code !== "ASK" && code !== "TRYAGAIN" && code !== "CLUSTERDOWN") throw error;
    if (code === "ASK") await this.located(keys);
    await pause(REFUSAL_DELAY_MS, undefined, { ref: false });
    // One that has lost its place may say no more than that the cluster is down: others know whose the place is.
    if (code === "CLUSTERDOWN") await this.client.refresh();
    return { server: this.client.serverOf(keys[0] as string), asking: false };
  }

  /** The client follows where it is sent, and knows the server from then on. */
  private async located(keys: readonly string[]): Promise<Server> {
    await this.client.call("EXISTS", ...keys);
    const server = this.client.serverOf(keys[0] as string);
    if (server === undefined) throw new Error("no connection to the server that has the keys");
    return server;
  }

  /** Gives the number of cuts before which this was asked. */
  private async confirmed(server: Server, waits: Waits): Promise<number> {
    const asked = this.asked.get(server) ?? { last: Promise.resolve(), next: undefined };
    this.asked.set(server, asked);
    asked.next ??= asked.last.then(() => {
      asked.next = undefined;
      const answer = this.ask(server, waits);
      asked.last = answer.then(ignored, ignored);
      return answer;
    });
    return asked.next;
  }

  private async ask({ raw, cuts }: Server, { synced, replicas }: Waits): Promise<number> {
    const written = synced ? raw.callBuffer("WAITAOF", 1, 0, TIMEOUT_MS) : undefined;
    const copied = replicas > 0 ? raw.callBuffer("WAIT", replicas, TIMEOUT_MS) : undefined;
    const [file, copies] = await Promise.all([written, copied]);
    const isWritten = !synced || Number(listOf(file as Reply)[0]) > 0;
    if (isWritten && Number(copies ?? 0) >= replicas) return cuts;
    this.onShort();
    const what = isWritten
      ? `${Number(copies)} of ${replicas} replicas have it`
      : "Redis did not sync its append-only file";
    throw new PulseGateError("log_unavailable", `${what} in time; the outcome is unknown. Try again.`);
  }
}

/** Of one server: what is asked, and what is asked when that is answered. */
interface Asked {
  last: Promise<void>;
  next: Promise<number> | undefined;
}

function ignored(): void {}
