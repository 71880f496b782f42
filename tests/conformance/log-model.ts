import { contentOf } from "../../core/canonical/codec.ts";
import type { Appended, Stream } from "../../core/ingestion/log.ts";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LogUnderTest } from "./log-under-test.ts";
import { type EventSpec, ALL, entryOf, onLog, type Session } from "./log-fixtures.ts";

type Step =
  | { readonly do: "append"; readonly events: readonly Draft[] }
  | { readonly do: "pass"; readonly windows: number }
  | { readonly do: "reopen" };

interface Draft {
  readonly id: number;
  readonly key: number | undefined;
  readonly content: number;
}

interface Stored {
  readonly stream: Stream;
  readonly sequence: number;
  readonly receivedAt: number;
  readonly eventId: string;
  readonly content: Buffer;
  /** By the model's clock, which moves only with the log's. */
  readonly key: string | undefined;
  readonly at: number;
}

const PARTITIONS = 2;

// Few ids, keys and contents, so that they meet often.
const draft = fc.record({
  id: fc.nat({ max: 7 }),
  key: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
  content: fc.nat({ max: 2 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("append" as const), events: fc.array(draft, { maxLength: 6 }) }),
  },
  // Well inside the window or well beyond it: a driver may forget somewhat late, never early.
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pass" as const), windows: fc.constantFrom(0.001, 2.5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
);

export function modelConformance(open: () => Promise<LogUnderTest>): void {
  describe("model", () => {
    it(
      "answers, stores and finds as a plain list and two maps would",
      onLog(open, async (session) => {
        let run = 0;
        const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
          // A fresh tenant is a fresh log, as far as tenants are isolated.
          const model = new Model(`model_${run++}`, session.windowMs);
          for (const one of steps) await perform(session, model, one);
        });
        await fc.assert(property, { numRuns: 60 });
      }),
    );
  });
}

async function perform(session: Session, model: Model, step: Step): Promise<void> {
  if (step.do === "pass") {
    const ms = Math.round(step.windows * session.windowMs);
    await session.advance(ms);
    model.pass(ms);
  } else if (step.do === "reopen") await session.reopen();
  else {
    const specs = step.events.map((event) => model.specOf(event));
    model.take(specs, await session.log.append(specs.map(entryOf)));
  }
  await model.compare(session);
}

class Model {
  readonly #tenantId: string;
  readonly #windowMs: number;
  #now = 0;
  readonly #streams: Stored[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly #ids = new Map<string, Stored>();
  readonly #keys = new Map<string, Stored>();

  constructor(tenantId: string, windowMs: number) {
    this.#tenantId = tenantId;
    this.#windowMs = windowMs;
  }

  specOf({ id, key, content }: Draft): EventSpec {
    const stream = { tenantId: this.#tenantId, partition: id % PARTITIONS };
    const spec = { stream, id: `e${id}`, payload: `{"content":${content}}` };
    return key === undefined ? spec : { ...spec, key: `k${key}` };
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  /** The log says when it stored; all else must follow. */
  take(specs: readonly EventSpec[], results: readonly Appended[]): void {
    expect(results).toHaveLength(specs.length);
    for (const [i, spec] of specs.entries()) this.#takeOne(spec, results[i]!);
  }

  #takeOne(spec: EventSpec, result: Appended): void {
    expect(result).toEqual(this.#expected(spec, result));
    if (result.type !== "appended") return;
    const { stream, id, key } = spec as EventSpec & { stream: Stream };
    const content = contentOf(entryOf(spec).bytes);
    const stored: Stored = { stream, eventId: id, key, content, at: this.#now, ...result };
    this.#streams[stream.partition]!.push(stored);
    this.#ids.set(id, stored);
    if (key !== undefined) this.#keys.set(key, stored);
  }

  #expected(spec: EventSpec, result: Appended): Appended {
    const content = contentOf(entryOf(spec).bytes);
    for (const known of [this.#ids.get(spec.id), spec.key === undefined ? undefined : this.#keys.get(spec.key)]) {
      if (known === undefined || this.#now - known.at >= this.#windowMs) continue;
      const { stream, sequence, receivedAt, eventId } = known;
      const field = spec.key !== undefined && spec.key === known.key ? "idempotency_key" : "event_id";
      if (!known.content.equals(content)) return { type: "conflict", field, eventId };
      return { type: "duplicate", stream, sequence, receivedAt, eventId };
    }
    const sequence = this.#streams[spec.stream!.partition]!.length;
    return { type: "appended", sequence, receivedAt: result.type === "appended" ? result.receivedAt : Number.NaN };
  }

  async compare({ log }: Session): Promise<void> {
    for (const [partition, stored] of this.#streams.entries()) {
      const stream = { tenantId: this.#tenantId, partition };
      expect(await log.bounds(stream)).toEqual({ first: 0, end: stored.length });
      const entries = await log.read(stream, 0, ALL);
      expect(entries.map(({ sequence, receivedAt }) => ({ sequence, receivedAt }))).toEqual(
        stored.map(({ sequence, receivedAt }) => ({ sequence, receivedAt })),
      );
      for (const [i, entry] of entries.entries()) expect(contentOf(entry.bytes).equals(stored[i]!.content)).toBe(true);
    }
    for (const [id, { stream, sequence, receivedAt }] of this.#ids) {
      expect(await log.find(this.#tenantId, id)).toEqual({ stream, sequence, receivedAt });
    }
  }
}
