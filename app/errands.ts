import { ERROR_CODES, PulseGateError } from "../core/canonical/errors.ts";
import type { ErrorCode } from "../core/canonical/errors.ts";
import type { Clock, Logger } from "../core/environment.ts";
import { readDocument, updateDocument } from "../core/ingestion/control.ts";
import type { JobSpec } from "../core/ingestion/jobs.ts";
import type { ControlStore } from "../core/ingestion/log.ts";
import type { SkipRequest } from "../workers/skip.ts";
import { presentPlaces } from "./places.ts";
import type { Role } from "./roles.ts";

/** What one process asks of others. Plain data: it goes through the log's backend. */
export type Errand =
  | { readonly type: "skip"; readonly skip: SkipRequest }
  | { readonly type: "preview"; readonly spec: JobSpec; readonly examplesMax: number }
  /** Nothing but to have read all that was changed before. */
  | { readonly type: "look" };

/** What one process came to. */
export type Answer = { readonly value?: unknown } | { readonly fault: Fault };

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface ErrandsOptions {
  readonly control: ControlStore;
  /** Names this process among all that share the log. */
  readonly instance: string;
  /** Does what is asked of this process. */
  readonly perform: (errand: Errand) => Promise<unknown>;
  /** Has the other processes, and this one, look at what was changed. */
  readonly tell: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Ask {
  readonly errand: Errand;
  /** Whether a process of this role is to answer. */
  readonly of: (role: Role) => boolean;
  /** How long the answers may take; what is not done by then is not done any more. */
  readonly withinMs: number;
}

interface Asked {
  readonly errand: Errand;
  /** Instances that are to answer. */
  readonly of: readonly string[];
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly answers: Readonly<Record<string, Answer>>;
}

type Book = Readonly<Record<string, Asked>>;

const KEY = "errands";
const POLL_MS = 100;

/** What processes ask of one another, by one small document: a question is gone with its last answer. */
export class Errands {
  readonly #options: ErrandsOptions;
  readonly #underWay = new Set<string>();
  #count = 0;

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  /**
   * Asks every process that is there now; its answers, of those that gave one in time and were not gone before.
   * None: nobody is there who could.
   */
  async ask({ errand, of, withinMs }: Ask): Promise<Answer[]> {
    const { control, instance, tell, clock } = this.#options;
    const id = `${instance}-${++this.#count}`;
    const until = clock.now() + withinMs;
    const asked = [...(await this.#present())].filter(([, role]) => of(role)).map(([name]) => name);
    if (asked.length === 0) return [];
    await updateDocument<Book>(control, KEY, {
      change: (book = {}) => ({ ...unended(book, clock.now()), [id]: { errand, of: asked, until, answers: {} } }),
    });
    try {
      await tell();
      return await this.#answers(id, until);
    } finally {
      await updateDocument<Book>(control, KEY, { change: (book = {}) => without(book, id) });
    }
  }

  async #answers(id: string, until: number): Promise<Answer[]> {
    const { clock, control } = this.#options;
    for (;;) {
      const asked = (await readDocument<Book>(control, KEY)).value?.[id];
      if (asked === undefined) return [];
      const present = await this.#present();
      const isOpen = asked.of.some((name) => asked.answers[name] === undefined && present.has(name));
      if (!isOpen || clock.now() >= until) return Object.values(asked.answers);
      await clock.sleep(POLL_MS);
    }
  }

  #present(): Promise<ReadonlyMap<string, Role>> {
    return presentPlaces(this.#options.control, this.#options.clock.now());
  }

  /** Begins what is asked of this process and is not under way; to be called whenever something was changed. */
  async look(): Promise<void> {
    const { control, instance, clock, logger } = this.#options;
    const { value: book = {} } = await readDocument<Book>(control, KEY);
    for (const [id, asked] of Object.entries(unended(book, clock.now()))) {
      if (!asked.of.includes(instance) || asked.answers[instance] !== undefined || this.#underWay.has(id)) continue;
      this.#underWay.add(id);
      void this.#answer(id, asked.errand)
        .catch((error: unknown) => logger.warn({ error, errand: asked.errand.type }, "an answer could not be given"))
        .finally(() => this.#underWay.delete(id));
    }
  }

  async #answer(id: string, errand: Errand): Promise<void> {
    const { perform, control, instance } = this.#options;
    const answer: Answer = await perform(errand).then(
      (value) => ({ value }),
      (error: unknown) => ({ fault: faultOf(error) }),
    );
    await updateDocument<Book>(control, KEY, {
      change(book = {}) {
        const asked = book[id];
        // Nobody waits for it any more.
        if (asked === undefined) return book;
        return { ...book, [id]: { ...asked, answers: { ...asked.answers, [instance]: answer } } };
      },
    });
  }
}

const LOOK_MS_MAX = 10_000;

/** Resolves once every process that is there has read what was changed before, or is too late. */
export async function everyoneLooks(errands: Errands): Promise<void> {
  await errands.ask({ errand: { type: "look" }, of: () => true, withinMs: LOOK_MS_MAX });
}

function unended(book: Book, now: number): Book {
  return Object.fromEntries(Object.entries(book).filter(([, { until }]) => until > now));
}

function without(book: Book, id: string): Book {
  const { [id]: _gone, ...rest } = book;
  return rest;
}

function faultOf(error: unknown): Fault {
  if (error instanceof PulseGateError) return { code: error.code, message: error.message };
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}

/** The values of answers, or the first fault as this process's own. */
export function valuesOf(answers: readonly Answer[]): unknown[] {
  return answers.map((answer) => {
    if ("fault" in answer) throw errorOf(answer.fault);
    return answer.value;
  });
}

/** Of another version of PulseGate there may be codes that this one does not know. */
export function errorOf({ code, message }: Fault): PulseGateError {
  return new PulseGateError(code in ERROR_CODES ? code : "internal", message);
}
