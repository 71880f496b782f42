const REASON_LENGTH_MAX = 500;
const CODE_LENGTH_MAX = 64;
const RESPONSE_LENGTH_MAX = 4096;
const LABEL_LENGTH_MAX = 120;

// Control characters would let foreign text forge log lines and break tables.
const CONTROL = /\p{Cc}+/gu;

/** Foreign text, whatever it really is, as one bounded line. */
export function reasonText(value: unknown): string {
  return bounded(textOf(value).replace(CONTROL, " ").trim(), REASON_LENGTH_MAX) || "no reason given";
}

/** A drop reason as it is counted: `NAME: reason`. */
export function filterLabel(plugin: string, reason: unknown): string {
  return bounded(`${plugin}: ${reasonText(reason)}`, LABEL_LENGTH_MAX);
}

/** A failure code as in metrics and dead letters; anything unfit is `plugin_error`. */
export function codeText(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") return "plugin_error";
  const text = String(value);
  return /^[A-Za-z0-9_.:-]+$/.test(text) && text.length <= CODE_LENGTH_MAX ? text : "plugin_error";
}

export function responseText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? bounded(value, RESPONSE_LENGTH_MAX) : undefined;
}

/** The message of whatever was thrown; reading it must not throw again. */
export function errorText(error: unknown): string {
  return reasonText(error);
}

/** The `code` of whatever was thrown, when it is a plausible one. */
export function errorCode(error: unknown): string {
  try {
    return codeText((error as { code?: unknown } | null | undefined)?.code);
  } catch {
    return "plugin_error";
  }
}

/** Foreign values may be anything, also objects whose every property throws. */
function textOf(value: unknown): string {
  try {
    const message: unknown = value instanceof Error ? value.message || value.name : value;
    if (typeof message === "string") return message;
    return message === undefined ? "" : (JSON.stringify(message) ?? typeof message);
  } catch {
    return "unprintable";
  }
}

function bounded(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax - 1)}…`;
}
