import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../core/environment.ts";
import type { Answer, History } from "../helpers/history.ts";

export interface LoadOptions {
  /** Base URLs, each request to one of them: upstream systems do not care which. */
  readonly urls: readonly string[];
  readonly tenants: readonly { readonly id: string; readonly key: string }[];
  readonly clients: number;
  readonly history: History;
  readonly random: Random;
  readonly signal: AbortSignal;
}

export interface Load {
  /** Names (`tenant/id`) of events that no target can take: they belong to the dead letters. */
  readonly poison: ReadonlySet<string>;
  /** Resolves when every client has heard its last answer. */
  readonly ended: Promise<void>;
}

interface Draft {
  readonly id: string;
  readonly type: string;
  readonly n: number;
  readonly text: string;
  readonly key?: string;
}

const REQUEST_MS_MAX = 5_000;
const THINK_MS_MAX = 12;
const DOWN_PAUSE_MS = 50;
const TRIES_MAX = 6;
const BATCH_MAX = 20;

/** What is compared at the end: jsonb does not keep the text, but every value. */
export function contentOf(event: { type: string; n: unknown; text: unknown }): string {
  return JSON.stringify([event.type, event.n, event.text]);
}

/**
 * Sends events as upstream systems do: singles and batches, repeats of what was not answered, repeats
 * of what was, invalid ones, taken ids with another content. Everything goes into the history.
 */
export function startLoad(options: LoadOptions): Load {
  const poison = new Set<string>();
  const agent = new Agent({ keepAlive: true, maxSockets: options.clients * 2 });
  const clients = Array.from({ length: options.clients }, (_, i) =>
    new Client(options, { index: i, agent, poison }).run(),
  );
  return { poison, ended: Promise.all(clients).then(() => agent.destroy()) };
}

class Client {
  readonly #options: LoadOptions;
  readonly #index: number;
  readonly #agent: Agent;
  readonly #poison: Set<string>;
  #count = 0;
  #last: Draft | undefined;

  constructor(options: LoadOptions, own: { index: number; agent: Agent; poison: Set<string> }) {
    this.#options = options;
    this.#index = own.index;
    this.#agent = own.agent;
    this.#poison = own.poison;
  }

  async run(): Promise<void> {
    const { random, signal, tenants } = this.#options;
    while (!signal.aborted) {
      const tenant = tenants[Math.floor(random() * tenants.length)] as LoadOptions["tenants"][number];
      const dice = random();
      const last = this.#last;
      if (dice < 0.7) await this.#insist(tenant, [this.#draft(tenant.id)]);
      else if (dice < 0.85) await this.#insist(tenant, this.#drafts(tenant.id));
      else if (dice < 0.9) await this.#send(tenant, [{ ...this.#draft(tenant.id, false), type: "not a name" }]);
      else if (last !== undefined && last.id.startsWith(`${tenant.id}-`)) await this.#again(tenant, last, dice);
      await sleep(random() * THINK_MS_MAX);
    }
  }

  /** The last event once more: as it was, with another content, or under another id with the same key. */
  async #again(tenant: LoadOptions["tenants"][number], last: Draft, dice: number): Promise<void> {
    if (dice < 0.94) await this.#send(tenant, [last]);
    else if (dice < 0.97) await this.#send(tenant, [{ ...last, n: -1 }]);
    else if (last.key !== undefined) await this.#send(tenant, [{ ...last, id: `${last.id}-again` }]);
  }

  #draft(tenantId: string, mayBePoison = true): Draft {
    const { random } = this.#options;
    const n = this.#count++;
    const id = `${tenantId}-${this.#index}-${n}`;
    const poison = mayBePoison && random() < 0.01;
    // PostgreSQL's jsonb has no NUL: the row is refused for good, and its neighbours are not.
    if (poison) this.#poison.add(`${tenantId}/${id}`);
    const draft = { id, type: "order_paid", n, text: poison ? "nul \u0000" : `tëxt ${"x".repeat(random() * 200)}` };
    this.#last = random() < 0.5 ? { ...draft, key: `key ${id}` } : draft;
    return this.#last;
  }

  #drafts(tenantId: string): Draft[] {
    return Array.from({ length: 2 + Math.floor(this.#options.random() * BATCH_MAX) }, () => this.#draft(tenantId));
  }

  /** Sends until answered, or gives up: most clients repeat, some do not. */
  async #insist(tenant: LoadOptions["tenants"][number], drafts: readonly Draft[]): Promise<void> {
    const { random, signal } = this.#options;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const answers = await this.#send(tenant, drafts);
      if (answers.every(({ type }) => type !== "unknown") || signal.aborted || random() < 0.1) return;
      await sleep(DOWN_PAUSE_MS * (1 + tries));
    }
  }

  async #send({ id: tenantId, key }: LoadOptions["tenants"][number], drafts: readonly Draft[]): Promise<Answer[]> {
    const { urls, history, random } = this.#options;
    const url = urls[Math.floor(random() * urls.length)] as string;
    const single = drafts.length === 1;
    const body = drafts.map(bodyOf).join("\n");
    const path = single ? "/v1/events" : "/v1/events/batch";
    const headers = { "x-api-key": key, "content-type": single ? "application/json" : "application/x-ndjson" };
    const reply = await post({ url: url + path, headers, body, agent: this.#agent });
    return drafts.map((draft, i) => {
      const { answer, eventId = draft.id } = answerOf(reply, single ? undefined : i);
      history.record({ eventId: `${tenantId}/${eventId}`, content: contentOf(draft) }, answer);
      return answer;
    });
  }
}

function bodyOf({ id, type, n, text, key }: Draft): string {
  return JSON.stringify({ event_type: type, event_id: id, idempotency_key: key, payload: { n, text } });
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

function post(options: {
  url: string;
  headers: Record<string, string>;
  body: string;
  agent: Agent;
}): Promise<Reply | undefined> {
  const { url, headers, body, agent } = options;
  return new Promise((resolve) => {
    const sent = request(url, { method: "POST", headers, agent, timeout: REQUEST_MS_MAX }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
      response.on("error", () => resolve(undefined));
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => resolve(undefined));
    sent.on("close", () => resolve(undefined));
    sent.end(body);
  });
}

interface Item {
  readonly status?: number;
  readonly event_id?: string;
  readonly position?: string;
}

/** Only what can be read whole counts as an answer. */
function answerOf(reply: Reply | undefined, index: number | undefined): { answer: Answer; eventId?: string } {
  if (reply === undefined || reply.status >= 500) return { answer: { type: "unknown" } };
  let item: Item;
  try {
    const parsed = JSON.parse(reply.body) as Item & { results?: Item[] };
    item = index === undefined ? parsed : (parsed.results?.[index] ?? {});
  } catch {
    return { answer: { type: "unknown" } };
  }
  const status = index === undefined ? reply.status : (item.status ?? reply.status);
  if (status >= 500) return { answer: { type: "unknown" } };
  if (status >= 400) return { answer: { type: "refused", status } };
  if (item.position === undefined || item.event_id === undefined)
    throw new Error(`an ack without a place: ${reply.body}`);
  return { answer: { type: "acked", position: item.position }, eventId: item.event_id };
}
