import { hideChannel } from "../plugins/loading/hide-channel.ts";
import { loadPlugin } from "../plugins/loading/module.ts";
import { loadedFiles, PluginNotFound } from "../plugins/loading/hooks.ts";
import type { InspectAnswer, InspectedUse, InspectRequest, InspectUse } from "./inspect-messages.ts";
import { placeOf } from "../plugins/loading/place.ts";
import { jsonSchemaOf } from "./json-schema.ts";
import { strict, validate } from "./validate.ts";
import type { ZodType } from "zod";

const send = hideChannel();
process.once("message", (request: InspectRequest) => {
  void inspect(request).then(send);
});

async function inspect({ name, folder, uses }: InspectRequest): Promise<InspectAnswer> {
  try {
    const { definition, url, digest } = await loadPlugin(name, folder);
    const { kind, name: own, version, summary, config } = definition;
    return {
      ok: true,
      plugin: { kind, name: own, version, summary },
      url,
      digest,
      schema: config === undefined ? undefined : jsonSchemaOf(config),
      uses: config === undefined ? [] : uses.map((use) => validated(config, use)),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof PluginNotFound) return { ok: false, message, notFound: true };
    const place = placeOf(error, loadedFiles());
    return { ok: false, message: place === undefined ? message : `${place}: ${message}`, notFound: false };
  }
}

function validated(schema: ZodType, { value, base, substituted }: InspectUse): InspectedUse {
  const { parsed, issues } = validate(strict(schema), value, { substituted, base });
  const plain = JSON.parse(JSON.stringify(issues)) as InspectedUse["issues"];
  try {
    return { parsed: structuredClone(parsed), issues: plain };
  } catch {
    const message = "the plugin's schema makes something of it that is not plain data";
    return { parsed: undefined, issues: [{ code: "custom", path: [], message, input: undefined }] };
  }
}
