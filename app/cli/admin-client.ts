import { EXIT, Failure } from "./failure.ts";
import { ADMIN_HINT, findAdmin, problemFailure, reach } from "./instance.ts";
import type { AdminAddress } from "./instance.ts";

/** What every command takes that asks a running PulseGate. */
export interface AdminOptions {
  readonly data: string;
  readonly json?: boolean;
}

type Query = Readonly<Record<string, string | number | undefined>>;

export interface Request {
  readonly query?: Query;
  /** A text goes as YAML, all else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const PREFIX = "/admin/v1";
const PAGE_MAX = 500;

/** A running PulseGate's admin API. Whatever it refuses is a `Failure` in its own words. */
export class AdminClient {
  readonly #address: AdminAddress;

  private constructor(address: AdminAddress) {
    this.#address = address;
  }

  /** The environment's, else the dev instance's on this data folder. */
  static async find({ data }: Pick<AdminOptions, "data">): Promise<AdminClient> {
    return new AdminClient(await findAdmin(data));
  }

  async get<T>(path: string, query?: Query): Promise<T> {
    return JSON.parse(await this.text(path, query)) as T;
  }

  /** The answer as it came: numbers beyond 2^53 survive. */
  async text(path: string, query?: Query): Promise<string> {
    return (await this.send("GET", path, query === undefined ? {} : { query })).text();
  }

  /** With the ETag of what was read, for a change that must not undo another's. */
  async tagged(path: string): Promise<{ readonly value: unknown; readonly tag: string }> {
    const response = await this.send("GET", path, {});
    return { value: await response.json(), tag: response.headers.get("etag") ?? "*" };
  }

  async post<T>(path: string, request: Request = {}): Promise<T> {
    return (await (await this.send("POST", path, request)).json()) as T;
  }

  /** The items of all pages. */
  async all<T>(path: string, query: Query = {}): Promise<T[]> {
    const items: T[] = [];
    for (let after: string | undefined; ; ) {
      const page: { items: T[]; next: string | null } = await this.get(path, { limit: PAGE_MAX, ...query, after });
      items.push(...page.items);
      if (page.next === null) return items;
      after = page.next;
    }
  }

  /** The answer once its head is there; rejects when that is a refusal. */
  async send(method: string, path: string, { query = {}, body, headers }: Request): Promise<Response> {
    const url = new URL(PREFIX + path, this.#address.url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const sent: Record<string, string> = { authorization: `Bearer ${this.#address.token}`, ...headers };
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    if (body !== undefined) sent["content-type"] = typeof body === "string" ? "application/yaml" : "application/json";
    const response = await reach(url.href, { method, headers: sent, body: text ?? null }, ADMIN_HINT);
    if (!response.ok) throw problemFailure(response, await response.text());
    return response;
  }
}

/** A path out of parts that may hold anything. */
export function pathOf(...parts: ReadonlyArray<string | number>): string {
  return parts.map((part) => `/${encodeURIComponent(String(part))}`).join("");
}

/** The tenant that a command is about: the one named, or the only one there is. */
export async function tenantOf(client: AdminClient, named: string | undefined): Promise<string> {
  if (named !== undefined) return named;
  const tenants = await client.all<{ id: string }>("/tenants");
  const [only] = tenants;
  if (only !== undefined && tenants.length === 1) return only.id;
  const next = tenants.length === 0 ? "add one to the configuration" : "add --tenant ID; `pulsegate tenants list`";
  throw new Failure(`there are ${tenants.length} tenants`, { exitCode: EXIT.usage, why: "one must be meant", next });
}
