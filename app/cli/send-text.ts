/** Where events go, and as whom. */
export interface DataAddress {
  readonly url: string;
  readonly key: string;
}

/**
 * A JSON object's text with one more member in front, the rest byte for byte as it was (numbers beyond
 * 2^53 survive). A text that isn't an object is left as it is, for the server to refuse.
 */
export function withMember(text: string, name: string, value: string): string {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{")) return text;
  const rest = trimmed.slice(1);
  const comma = rest.trimStart().startsWith("}") ? "" : ",";
  return `{${JSON.stringify(name)}:${JSON.stringify(value)}${comma}${rest}`;
}
