import type { z } from "zod";
import type { JsonSchema } from "./json-schema.ts";
import type { Path } from "./source.ts";
import type { Substituted } from "./substitute.ts";

/** To the process that looks into one plugin. */
export interface InspectRequest {
  /** As in the configuration. */
  readonly name: string;
  /** Address of the configuration's folder, with a slash at the end. */
  readonly folder: string;
  readonly uses: readonly InspectUse[];
}

/** Options to validate by the plugin's own schema. */
export interface InspectUse {
  readonly value: unknown;
  readonly base: Path;
  readonly substituted: readonly Substituted[];
}

export type InspectAnswer =
  | {
      readonly ok: true;
      readonly plugin: {
        readonly kind: "transform" | "sink";
        readonly name: string;
        readonly version: string;
        readonly summary: string;
      };
      readonly url: string;
      readonly digest: string;
      readonly schema: JsonSchema | undefined;
      /** One for each use, in order. */
      readonly uses: readonly InspectedUse[];
    }
  | { readonly ok: false; readonly message: string; readonly notFound: boolean };

export interface InspectedUse {
  readonly parsed: unknown;
  /** Plain data only: what a schema finds may hold anything. */
  readonly issues: readonly z.core.$ZodIssue[];
}
