/** What is told of an address. */
export interface Place {
  /** ISO 3166-1, two letters. */
  country?: string;
  country_name?: string;
  city?: string;
  /** Number of the autonomous system. */
  asn?: number;
  as_name?: string;
}

/** What the records of several databases say, the first one first; undefined when they say nothing. */
export function placeOf(records: readonly unknown[], language: string): Place | undefined {
  const place: Place = {};
  for (const record of records) {
    const country = at(record, "country");
    put(place, "country", textOf(at(country, "iso_code")));
    put(place, "country_name", nameOf(country, language));
    put(place, "city", nameOf(at(record, "city"), language));
    const asn = at(record, "autonomous_system_number");
    put(place, "asn", typeof asn === "number" ? asn : undefined);
    put(place, "as_name", textOf(at(record, "autonomous_system_organization")));
  }
  return Object.keys(place).length === 0 ? undefined : place;
}

function put<K extends keyof Place>(place: Place, key: K, value: Place[K] | undefined): void {
  if (value !== undefined) place[key] ??= value;
}

function nameOf(value: unknown, language: string): string | undefined {
  const names = at(value, "names");
  return textOf(at(names, language)) ?? textOf(at(names, "en"));
}

function at(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
