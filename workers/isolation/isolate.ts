import { decodeEvent, encodeEvent } from "../../core/canonical/codec.ts";
import type { Isolation } from "../../core/ingestion/revision.ts";
import type { CanonicalEvent, PluginContext, SinkOutcome, TransformOutcome } from "../../plugins/contract.ts";
import type { Timer, Timers } from "../timers.ts";
import { type Link, openLink } from "./link.ts";
import { type Assignment, errorOf, type Order, type Report, type Result } from "./messages.ts";
import { pack, unpack } from "./pack.ts";
import { Talk } from "./talk.ts";
import { type DeathCode, type Job, RunnerDied, type Runner } from "./runner.ts";

/** What a loaded machine may add to a deadline. */
const GRACE_MS = 250;
const LOOK_MS = 50;
/** While nothing is asked of it: what it does on its own takes memory as well. */
const IDLE_LOOK_MS = 500;
/** Deadlines that a plugin without a core may take, in all. */
const STARVED_MAX = 20;

export interface IsolateOptions {
  readonly assignment: Omit<Assignment, "config">;
  readonly isolation: Isolation;
  readonly timers: Timers;
  /** Logging and metrics outside of any call. */
  readonly context: Pick<PluginContext, "logger" | "metrics">;
}

interface Why {
  readonly code: DeathCode;
  readonly message: string;
}

interface Call {
  readonly jobs: readonly Job[];
  readonly done: PromiseWithResolvers<readonly SinkOutcome[]>;
}

/**
 * One plugin in a thread or process of its own: events go in and come out as bytes, a batch at a time.
 * It is killed when it makes no headway within its deadline, or takes more memory than it may.
 */
export class Isolate implements Runner {
  readonly died: Promise<RunnerDied>;
  readonly #options: IsolateOptions;
  readonly #link: Link;
  readonly #calls = new Map<number, Call>();
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<RunnerDied>();
  readonly #closed = Promise.withResolvers<void>();
  #death: RunnerDied | undefined;
  #why: Why | undefined;
  #nextId = 0;
  #heardAt = 0;
  /** What the bare runtime takes, which is not the plugin's. */
  #baseBytes = 0;
  /** Processor time when it was last heard, nearly. */
  #silence: { readonly heardAt: number; readonly cpuMs: number } | undefined;
  #watch: Timer | undefined;
  #isIdle = true;

  constructor(options: IsolateOptions) {
    const { isolation, context } = options;
    this.#options = options;
    this.died = this.#ended.promise;
    this.#started.promise.catch(() => undefined);
    const talk = new Talk(
      () => options.timers.now(),
      (message) => context.logger.warn({}, message),
    );
    this.#link = openLink({
      isolation,
      onReport: (report) => this.#hearAny(report),
      onEnd: (how, isMemory) => this.#end(how, isMemory),
      onText: (text) => talk.passes() && context.logger.info({ text }, "plugin wrote to its output"),
    });
  }

  start(config: unknown): Promise<void> {
    this.#link.tell({ type: "start", assignment: { ...this.#options.assignment, config } });
    return this.#started.promise;
  }

  async transform(jobs: readonly Job[]): Promise<void> {
    const events = pack(jobs.map(({ event }) => encodeEvent(event)));
    const attempts = jobs.map(({ ctx }) => ctx.attempt);
    const replayIds = jobs.map(({ ctx }) => ctx.replayId);
    await this.#ask({ type: "transform", id: this.#nextId++, events, attempts, replayIds }, jobs);
  }

  async deliver(batch: readonly CanonicalEvent[], ctx: PluginContext): Promise<readonly SinkOutcome[]> {
    const id = this.#nextId++;
    const events = pack(batch.map(encodeEvent));
    const cancel = () => this.#cancel(id);
    ctx.signal.addEventListener("abort", cancel, { once: true });
    try {
      return await this.#ask({ type: "deliver", id, events, attempt: ctx.attempt, replayId: ctx.replayId }, []);
    } finally {
      ctx.signal.removeEventListener("abort", cancel);
    }
  }

  async close(timeoutMs: number): Promise<void> {
    const deadline = this.#options.timers.after(timeoutMs, () => this.#closed.resolve());
    this.#link.tell({ type: "close" });
    await Promise.race([this.#closed.promise, this.died]);
    deadline.cancel();
    this.#link.kill();
    await this.died;
  }

  #ask(order: Order & { readonly id: number }, jobs: readonly Job[]): Promise<readonly SinkOutcome[]> {
    if (this.#death !== undefined) return Promise.reject(this.#death);
    const done = Promise.withResolvers<readonly SinkOutcome[]>();
    this.#calls.set(order.id, { jobs, done });
    this.#link.tell(order);
    if (this.#isIdle) {
      this.#heardAt = this.#options.timers.now();
      this.#look();
    }
    return done.promise;
  }

  /** A call that does not end once cancelled holds memory, and maybe a connection, for ever. */
  #cancel(id: number): void {
    this.#link.tell({ type: "cancel", id });
    const { deadlineMs } = this.#options.isolation;
    this.#options.timers.after(deadlineMs, () => {
      if (this.#calls.has(id)) this.#kill("plugin_deadline", `did not end within ${deadlineMs} ms of being cancelled`);
    });
  }

  /** How big is it, and while calls are under way: is it alive? */
  #look(): void {
    const { timers, isolation, assignment } = this.#options;
    this.#watch?.cancel();
    if (this.#death !== undefined) return;
    const rssBytes = this.#link.rssBytes() ?? 0;
    if (rssBytes > this.#baseBytes + isolation.memoryBytes)
      return this.#kill("plugin_memory", `took more than its ${mib(isolation.memoryBytes)} MiB of memory`);
    this.#isIdle = this.#calls.size === 0;
    if (this.#isIdle) {
      this.#watch = timers.after(IDLE_LOOK_MS, () => this.#look());
      return;
    }
    if (assignment.kind === "sink") this.#link.tell({ type: "ping" });
    if (this.#silence?.heardAt !== this.#heardAt)
      this.#silence = { heardAt: this.#heardAt, cpuMs: this.#link.load()?.cpuMs ?? 0 };
    // What it said may lie unread while this loop was busy: read first, then judge.
    if (this.#silentMs() > isolation.deadlineMs + GRACE_MS) setImmediate(() => this.#judge());
    this.#watch = timers.after(Math.min(LOOK_MS, isolation.deadlineMs), () => this.#look());
  }

  #silentMs(): number {
    return this.#options.timers.now() - this.#heardAt;
  }

  #judge(): void {
    const { deadlineMs } = this.#options.isolation;
    const silentMs = this.#silentMs();
    if (this.#calls.size === 0 || silentMs <= deadlineMs + GRACE_MS) return;
    if (silentMs < deadlineMs * STARVED_MAX && this.#isStarved()) return;
    const what = this.#options.assignment.kind === "sink" ? "was unresponsive for" : "worked on one event for";
    this.#kill("plugin_deadline", `${what} more than ${deadlineMs} ms`);
  }

  /** It wants to work, and others have the cores: the machine's fault, not the event's. */
  #isStarved(): boolean {
    const load = this.#link.load();
    if (load === undefined || !load.isRunnable || this.#silence === undefined) return false;
    return load.cpuMs - this.#silence.cpuMs < this.#options.isolation.deadlineMs;
  }

  #kill(code: DeathCode, message: string): void {
    this.#why ??= { code, message };
    this.#link.kill();
  }

  #end(how: string, isMemory: boolean): void {
    const { isolation, assignment } = this.#options;
    const label = `${assignment.name}@${assignment.version}`;
    const size = `${mib(isolation.memoryBytes)} MiB`;
    const own: Why = isMemory
      ? { code: "plugin_memory", message: `took more than its ${size} of memory` }
      : { code: "plugin_crashed", message: `ended its ${isolation.mode} (${how})` };
    const why = this.#why ?? own;
    const death = new RunnerDied(why.code, `${label} ${why.message}`);
    this.#death = death;
    this.#watch?.cancel();
    this.#started.reject(death);
    for (const { done } of this.#calls.values()) done.reject(death);
    this.#calls.clear();
    this.#ended.resolve(death);
  }

  /** What comes may be the plugin's own words, and nonsense: it must not end this thread. */
  #hearAny(report: Report): void {
    // It is being killed: what it still says comes too late.
    if (this.#why !== undefined) return;
    try {
      this.#hear(report);
    } catch (error) {
      const { logger } = this.#options.context;
      logger.warn({ reason: String(error) }, "plugin sent what is no report");
      this.#kill("plugin_crashed", "sent a message that makes no sense");
    }
  }

  #hear(report: Report): void {
    this.#heardAt = this.#options.timers.now();
    const { logger, metrics } = this.#options.context;
    switch (report.type) {
      case "began":
        this.#baseBytes = report.rssBytes;
        return;
      case "started":
        this.#look();
        return this.#started.resolve();
      case "refused":
        this.#started.reject(errorOf(report.error));
        return this.#link.kill();
      case "through":
        return this.#through(report);
      case "delivered":
        return this.#take(report.id)?.done.resolve(report.outcomes);
      case "threw":
        return this.#take(report.id)?.done.reject(errorOf(report.error));
      case "log":
        return logger[report.level](report.fields, report.message);
      case "metrics":
        for (const [name, by] of report.counts) metrics.count(name, by);
        for (const [name, seconds] of report.seconds) metrics.observe(name, seconds);
        return;
      case "closed":
        return this.#closed.resolve();
      case "pong":
        return;
    }
  }

  #through({ id, indexes, results, changed }: Report & { readonly type: "through" }): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    const events = unpack(changed)[Symbol.iterator]();
    indexes.forEach((index, i) => {
      const job = call.jobs[index];
      const result = results[i];
      if (job === undefined || result === undefined) return;
      job.answered = true;
      answer(job, result, () => events.next().value as Buffer);
    });
    if (call.jobs.every((job) => job.answered)) this.#take(id)?.done.resolve([]);
  }

  #take(id: number): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }
}

function answer(job: Job, result: Result, nextChanged: () => Buffer): void {
  if (result === "same") job.resolve({ type: "ok", event: job.event });
  else if (result === "changed") job.resolve({ type: "ok", event: decodeEvent(nextChanged()) });
  else if ("threw" in result) job.reject(errorOf(result.threw));
  else job.resolve(result.outcome as TransformOutcome);
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
