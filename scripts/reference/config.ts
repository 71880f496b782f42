import { fileJsonSchema, jsonSchemaOf } from "../../config/json-schema.ts";
import { ConfigSchema } from "../../config/schema.ts";
import { PLUGINS } from "../../plugins/registry.ts";
import { page, table } from "./markdown.ts";
import { SETTING_COLUMNS, settingRows } from "./schema-words.ts";

export function configSchema(): string {
  return `${JSON.stringify(fileJsonSchema(PLUGINS), null, 2)}\n`;
}

export function configPage(): string {
  const rows = settingRows(jsonSchemaOf(ConfigSchema));
  return page(
    "Configuration",
    "One YAML file. Each value is checked before anything changes: `pulsegate config check` tells everything that is wrong, with line and column; `pulsegate config explain` shows the settings in effect and where each comes from. Editors take [config.schema.json](config.schema.json).",
    "`${NAME}` stands for an environment variable and `${file:/run/secrets/x}` for a file's text (relative paths start at the configuration's folder); `$${` stands for `${`. A missing one is an error; what was put in is never printed. Inside `{ }` and `[ ]` put them in quotes. Times are written `500ms`, `30s`, `5m`, `2h`, `7d`; sizes `512KiB`, `10MiB`, `1GB` or in bytes.",
    "On SIGHUP and when the file changes it is read again as a whole: a valid one becomes the next revision at once, a bad one is refused and shown (`GET /admin/v1/config`), and the old one stays.",
    table(SETTING_COLUMNS, rows),
  );
}
