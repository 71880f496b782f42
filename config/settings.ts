import type { JsonSchema } from "./json-schema.ts";

/** One setting of a schema, for people to read. */
export interface Setting {
  /** From the schema's root: `rules[].when`. */
  readonly name: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
  /** A group of settings, or a list of groups: what is in it comes after it. */
  readonly isGroup: boolean;
}

/** The settings of a schema, those within groups and lists after theirs. */
export function settingsOf(schema: JsonSchema, path = ""): Setting[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
    const name = path === "" ? key : `${path}.${key}`;
    const items = inner.items?.properties === undefined ? undefined : inner.items;
    const isRequired = schema.required?.includes(key) === true && inner.default === undefined;
    const setting = { name, schema: inner, isRequired, isGroup: inner.properties !== undefined || items !== undefined };
    return [setting, ...settingsOf(inner, name), ...(items === undefined ? [] : settingsOf(items, `${name}[]`))];
  });
}
