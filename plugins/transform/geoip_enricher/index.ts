import { delimiter } from "node:path";
import {
  type CanonicalEvent,
  definePlugin,
  type PluginContext,
  type TransformOutcome,
  type TransformPlugin,
} from "../../contract.ts";
import { type Field, parseField, readField, withField } from "../paths.ts";
import { publicAddress } from "./address.ts";
import { type Config, config } from "./config.ts";
import { Database, type DatabaseState } from "./database.ts";
import { placeOf } from "./place.ts";

const NAME = "geoip_enricher";
const VERSION = "1.0.0";

/** Where geoipupdate and Debian's packages put them. */
const USUAL_PLACES = ["/var/lib/GeoIP", "/usr/share/GeoIP"].flatMap((folder) =>
  ["GeoLite2-City", "GeoLite2-ASN"].map((name) => `${folder}/${name}.mmdb`),
);

export default definePlugin({
  kind: "transform",
  name: NAME,
  version: VERSION,
  summary: "Adds country, city and network of an IP address, from the operator's own MaxMind DB files",
  config,
  create: () => new GeoIpEnricher(),
});

class GeoIpEnricher implements TransformPlugin {
  readonly name = NAME;
  readonly version = VERSION;
  #databases: readonly Database[] = [];
  #field: Field = [];
  #target: Field = [];
  #language = "en";
  /** What was logged last of each database. */
  readonly #told = new Map<Database, DatabaseState>();
  #toldOfNone = false;

  async init(options: unknown): Promise<void> {
    const { databases, field, target, language, check_every_ms } = options as Config;
    this.#field = parseField(field);
    this.#target = parseField(target);
    this.#language = language;
    const paths = databases.length > 0 ? databases : pathsOfMachine();
    this.#databases = await Promise.all(paths.map((path) => Database.use(path, check_every_ms)));
    const missing = this.#databases.find(({ state }) => state.reader === undefined);
    // One that is named must be there: events wait rather than pass without it.
    if (databases.length > 0 && missing !== undefined)
      throw new Error(`can't read the database ${missing.path}: ${missing.state.fault}`);
  }

  async process(event: CanonicalEvent, ctx: PluginContext): Promise<TransformOutcome> {
    this.#report(ctx);
    const address = publicAddress(readField(event.payload, this.#field));
    if (address === undefined) return { type: "ok", event };
    const place = placeOf(this.#recordsOf(address), this.#language);
    const payload = place === undefined ? undefined : withField(event.payload, this.#target, place);
    if (payload === undefined) ctx.metrics.count("addresses_unknown_total");
    return { type: "ok", event: payload === undefined ? event : { ...event, payload } };
  }

  async close(): Promise<void> {
    for (const database of this.#databases) database.release();
    this.#databases = [];
  }

  #recordsOf(address: string): unknown[] {
    return this.#databases.map(({ state: { reader } }) => {
      try {
        return reader?.get(address);
      } catch {
        // Damage in one record: the other addresses, and the other databases, still are worth having.
        return undefined;
      }
    });
  }

  /** Each change once, with the first event after it: before that there is no logger. */
  #report({ logger }: PluginContext): void {
    let readers = 0;
    for (const database of this.#databases) {
      const { state } = database;
      if (state.reader !== undefined) readers += 1;
      if (this.#told.get(database) === state) continue;
      this.#told.set(database, state);
      const { path } = database;
      if (state.fault === undefined && state.reader !== undefined) {
        logger.info({ database: path, built_at: builtAt(state.reader) }, "geo database is in use");
      } else if (state.reader !== undefined)
        logger.warn(
          { database: path, reason: state.fault },
          "geo database could not be read anew; the one before stays in use",
        );
    }
    if (readers === 0 && !this.#toldOfNone)
      logger.warn(
        { looked_at: this.#databases.map(({ path }) => path) },
        "no geo database: events pass without a place. Set databases in its config, or PULSEGATE_GEOIP_DATABASE",
      );
    this.#toldOfNone = readers === 0;
  }
}

/** A file may claim any moment, also one that no date can hold. */
function builtAt({ metadata: { buildEpoch } }: NonNullable<DatabaseState["reader"]>): string {
  return Number.isNaN(buildEpoch.getTime()) ? "unknown" : buildEpoch.toISOString();
}

function pathsOfMachine(): readonly string[] {
  const named = process.env["PULSEGATE_GEOIP_DATABASE"];
  return named === undefined || named === "" ? USUAL_PLACES : named.split(delimiter).filter((path) => path !== "");
}
