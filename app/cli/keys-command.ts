import { randomBytes } from "node:crypto";
import { API_KEY_BYTES, createApiKey } from "../../core/ingestion/admit.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine } from "./print.ts";

const KEY_ID = /^[A-Za-z0-9-]{1,64}$/;

/** `keys create`: a new key. Its text is shown this once and kept nowhere. */
export function createKey(id: string, { json }: { readonly json?: boolean }): void {
  if (!KEY_ID.test(id)) {
    throw new Failure(`${JSON.stringify(id)} can't name a key`, {
      exitCode: EXIT.usage,
      next: "use 1 to 64 letters, digits or -, e.g. `pulsegate keys create web`",
    });
  }
  const { text, sha256 } = createApiKey(id, randomBytes(API_KEY_BYTES));
  if (json === true) {
    printJson({ id, key: text, sha256 });
    return;
  }
  printLine(`The key, shown only now; give it to the client (X-API-Key):\n\n  ${text}\n`);
  printLine(`For the configuration, under the tenant's \`keys:\`\n\n  - { id: ${id}, sha256: ${sha256} }`);
}
