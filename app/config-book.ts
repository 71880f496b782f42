import { createHash } from "node:crypto";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import type { ConfigPort, ConfigState, RevisionDiff, RevisionInfo } from "../adapters/admin/index.ts";
import { maskedText } from "../config/mask.ts";
import type { LoadedConfig, ParseResult } from "../config/parse.ts";
import { formatProblem } from "../config/problems.ts";
import type { Problem } from "../config/problems.ts";
import type { RevisionDraft } from "../config/revision.ts";
import { PulseGateError } from "../core/canonical/errors.ts";
import type { Clock } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import type { Revision, TenantConfig } from "../core/ingestion/revision.ts";
import type { PluginDefinition } from "../plugins/contract.ts";
import { oneAtATime } from "./one-at-a-time.ts";

export interface ConfigBookOptions {
  readonly control: ControlStore;
  /** Reads a text as this process reads its file. */
  readonly parse: (text: string) => Promise<ParseResult>;
  readonly plugins: readonly PluginDefinition[];
  /** Values that must not be written anywhere from now on. */
  readonly onSecrets: (secrets: readonly string[]) => void;
  readonly clock: Clock;
}

/** What runs a configuration. */
export interface Live {
  /** Rejects with `precondition_failed` when the log's newest revision is not `expected`, whichever process made it. */
  apply(draft: RevisionDraft, expected?: number): Promise<Revision>;
  state(): Omit<ConfigState, "origin">;
}

/** The text that the admin API made run, until the file changes. */
interface Applied {
  readonly text: string;
  /** Of the file that it took the place of. */
  readonly fileDigest: string;
  readonly by: string;
}

interface Kept extends RevisionInfo {
  readonly text: string;
  readonly masked: string;
  readonly secretsDigest: string;
}

const APPLIED = "config/applied";
const TEXTS = "config/text/";
/** So many texts are kept; then the oldest give way. */
const TEXTS_MAX = 100;

/**
 * Where the running configuration comes from: the file, or the admin API. The newest change counts, whichever
 * way it came, also across a restart; and the text of each revision is kept, to compare and to go back to.
 */
export class ConfigBook {
  readonly #options: ConfigBookOptions;
  #live: Live | undefined;
  #running: LoadedConfig;
  #origin: "file" | "api" = "file";
  #fileDigest: string;
  /** A file that changes and a text that is applied never overlap. */
  readonly #serially = oneAtATime();
  /** What another process applied and this one can't run. */
  #unfit: string | undefined;

  private constructor(options: ConfigBookOptions, file: LoadedConfig) {
    this.#options = options;
    this.#running = file;
    this.#fileDigest = digestOf(file.source.text);
  }

  /** Takes the file, or what was applied since the file came to be as it is. Rejects when that can't be read any more. */
  static async open(options: ConfigBookOptions, file: LoadedConfig): Promise<ConfigBook> {
    const book = new ConfigBook(options, file);
    const applied = await book.#applied();
    if (applied?.fileDigest !== book.#fileDigest) return book;
    book.#running = await book.#parse(applied.text, "the configuration that was applied over the file");
    book.#origin = "api";
    return book;
  }

  get running(): LoadedConfig {
    return this.#running;
  }

  /** Called once, as soon as the configuration runs. */
  async attach(live: Live): Promise<void> {
    this.#live = live;
    await this.#keep(live.state().revision, this.#running, { origin: this.#origin, by: "start" });
  }

  /** A valid file: it runs, unless it is the one over which the running text was applied. */
  async fileChanged(file: LoadedConfig): Promise<Revision> {
    return this.#serially(async () => {
      const digest = digestOf(file.source.text);
      if (this.#origin === "api" && digest === this.#fileDigest) {
        // What `${…}` stands for may have changed.
        const again = await this.#parse(this.#running.source.text, "the configuration that was applied over the file");
        return this.#run(again, { origin: "api", by: "reload" });
      }
      const revision = await this.#run(file, { origin: "file", by: "file" });
      this.#fileDigest = digest;
      await updateDocument<Applied | null>(this.#options.control, APPLIED, { change: () => null });
      return revision;
    });
  }

  /** The configuration of a revision, made anew from its text; undefined when that is not kept, or not valid any more. */
  async draft(number: number): Promise<RevisionDraft | undefined> {
    const kept = await this.#kept(number);
    const result = kept === undefined ? undefined : await this.#options.parse(kept.text);
    if (result?.ok !== true) return undefined;
    this.#options.onSecrets(result.config.secrets);
    return result.config.draft;
  }

  /** What a text stands for, read as this process reads its file; it does not run. Rejects with `invalid_config`. */
  async read(text: string): Promise<RevisionDraft> {
    return (await this.#parse(text, "it")).draft;
  }

  /**
   * Runs what another process has applied over the same file; the revision's number, if that is new here. Rejects
   * with the reason when it can't run here, once for each such text.
   */
  async follow(): Promise<number | undefined> {
    return this.#serially(async () => {
      const applied = await this.#applied();
      if (applied === undefined || applied.fileDigest !== this.#fileDigest) return undefined;
      const { text, by } = applied;
      if (text === this.#unfit || (this.#origin === "api" && text === this.#running.source.text)) return undefined;
      try {
        const { number } = await this.#run(await this.#parse(text, "the configuration"), { origin: "api", by });
        return number;
      } catch (error) {
        this.#unfit = text;
        throw error;
      }
    });
  }

  get port(): ConfigPort {
    return {
      state: () => ({ ...this.#attached().state(), origin: this.#origin }),
      validate: async (text) => {
        const result = await this.#options.parse(text);
        return result.ok ? [] : result.problems.map(placeOf);
      },
      apply: (text, by, expected) => this.#apply(text, by, expected),
      rollBack: async (number, by, expected) => {
        const kept = await this.#kept(number);
        if (kept === undefined) throw new PulseGateError("not_found", `no text is kept of revision ${number}`);
        return this.#apply(kept.text, by, expected);
      },
      revisions: async () => (await this.#all()).map(infoOf),
      revision: async (number) => {
        const kept = await this.#kept(number);
        return kept === undefined ? undefined : { ...infoOf(kept), text: kept.masked };
      },
      diff: async (from, to) => diffOf(await this.#kept(from), await this.#kept(to)),
    };
  }

  #apply(text: string, by: string, expected: number | undefined): Promise<number> {
    return this.#serially(async () => {
      const config = await this.#parse(text, "the configuration");
      needsAdmin(config, by);
      const { number } = await this.#run(config, { origin: "api", by }, expected);
      const applied: Applied = { text, fileDigest: this.#fileDigest, by };
      await updateDocument<Applied | null>(this.#options.control, APPLIED, { change: () => applied });
      return number;
    });
  }

  async #run(config: LoadedConfig, made: Pick<RevisionInfo, "origin" | "by">, expected?: number): Promise<Revision> {
    const revision = await this.#attached().apply(config.draft, expected);
    this.#running = config;
    this.#origin = made.origin;
    await this.#keep(revision.number, config, made);
    return revision;
  }

  async #keep(number: number, config: LoadedConfig, made: Pick<RevisionInfo, "origin" | "by">): Promise<void> {
    const { control, plugins, clock } = this.#options;
    const { text } = config.source;
    const masked = maskedText(config, plugins);
    const secretsDigest = digestOf(JSON.stringify(config.secrets));
    const kept: Kept = { number, at: clock.now(), ...made, text, masked, secretsDigest };
    await updateDocument<Kept>(control, keyOf(number), {
      change: (known) => (known?.number === number && known.text === text ? known : kept),
    });
  }

  async #parse(text: string, what: string): Promise<LoadedConfig> {
    const result = await this.#options.parse(text);
    if (result.ok) {
      this.#options.onSecrets(result.config.secrets);
      return result.config;
    }
    const many = result.problems.length === 1 ? "a problem" : `${result.problems.length} problems`;
    throw new PulseGateError("invalid_config", `${what} has ${many}`, {
      violations: result.problems.map((problem) => {
        return { pointer: "", code: "invalid_format", detail: formatProblem(problem) };
      }),
    });
  }

  #attached(): Live {
    if (this.#live === undefined) throw new PulseGateError("shutting_down", "the configuration does not run yet");
    return this.#live;
  }

  async #applied(): Promise<Applied | undefined> {
    return (await readDocument<Applied | null>(this.#options.control, APPLIED)).value ?? undefined;
  }

  async #kept(number: number): Promise<Kept | undefined> {
    const { value } = await readDocument<Kept>(this.#options.control, keyOf(number));
    return value?.number === number ? value : undefined;
  }

  async #all(): Promise<Kept[]> {
    const documents = await this.#options.control.list(TEXTS);
    return documents.map(({ value }) => value as Kept).toSorted((a, b) => b.number - a.number);
  }
}

/** Tenants as revisions had them; undefined where that is not known any more. */
export function tenantsOf({ book, revision }: { readonly book: ConfigBook; readonly revision: () => Revision }) {
  return async (number: number, tenantId: string): Promise<TenantConfig | undefined> => {
    const { tenants } = number === revision().number ? revision() : ((await book.draft(number)) ?? { tenants: [] });
    return tenants.find(({ id }) => id === tenantId);
  };
}

/** Whoever applies a configuration must be able to undo it. */
function needsAdmin({ settings }: LoadedConfig, by: string): void {
  const own = settings.ops.tokens.find(({ id }) => id === by);
  if (own?.role === "admin" && own.tenantId === undefined) return;
  throw new PulseGateError(
    "conflict",
    `the token ${by} would not be an admin of all tenants in it: name it in ops.tokens`,
  );
}

function keyOf(number: number): string {
  return `${TEXTS}${number % TEXTS_MAX}`;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function infoOf({ number, at, origin, by }: Kept): RevisionInfo {
  return { number, at, origin, by };
}

function placeOf({ file, line, column, message, hint }: Problem): Omit<Problem, "kind"> {
  return { file, line, column, message, hint };
}

function diffOf(from: Kept | undefined, to: Kept | undefined): RevisionDiff | undefined {
  if (from === undefined || to === undefined) return undefined;
  const names = [`revision ${from.number}`, `revision ${to.number}`] as const;
  const same = from.masked === to.masked;
  const text = same
    ? ""
    : createTwoFilesPatch(names[0], names[1], from.masked, to.masked, undefined, undefined, {
        headerOptions: FILE_HEADERS_ONLY,
      });
  return { text, secretsChanged: from.secretsDigest !== to.secretsDigest };
}
