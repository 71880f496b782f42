import { EXIT, Failure } from "./failure.ts";
import { DATA_HINT, findInstance, problemFailure, reach } from "./instance.ts";
import { printJson, printLine } from "./print.ts";
import { withMember } from "./send-text.ts";
import type { DataAddress } from "./send-text.ts";

export interface SendOptions {
  readonly data: string;
  readonly key?: string;
  readonly url?: string;
  readonly type?: string;
  readonly file?: string;
  readonly json?: boolean;
}

const URL_DEFAULT = "http://127.0.0.1:8080";

/** `send`: one event, or a file of them. */
export async function send(text: string | undefined, options: SendOptions): Promise<void> {
  if ((text === undefined) === (options.file === undefined)) {
    throw new Failure("give either one event as JSON or --file", {
      exitCode: EXIT.usage,
      next: `pulsegate send '{"event_type":"user_sign_up"}', or pulsegate send --file events.ndjson`,
    });
  }
  const address = await findData(options);
  if (options.file !== undefined) {
    const { sendFile } = await import("./send-file.ts");
    await sendFile(options.file, { address, type: options.type, json: options.json === true });
    return;
  }
  const body = options.type === undefined ? (text as string) : withMember(text as string, "event_type", options.type);
  const headers = { "content-type": "application/json", "x-api-key": address.key };
  const response = await reach(new URL("/v1/events", address.url).href, { method: "POST", headers, body }, DATA_HINT);
  const answer = await response.text();
  if (!response.ok) throw problemFailure(response, answer);
  const ack = JSON.parse(answer) as { event_id: string; position: string; received_at: string; duplicate?: boolean };
  if (options.json === true) printJson(ack);
  else {
    printLine(`${ack.duplicate === true ? "already stored" : "stored"}  ${ack.event_id}  at ${ack.position}`);
    printLine(`follow it: pulsegate events get ${ack.event_id}`);
  }
}

async function findData({ data, key, url }: SendOptions): Promise<DataAddress> {
  const runtime = key === undefined || url === undefined ? await findInstance(data) : undefined;
  const found = key ?? runtime?.key;
  if (found === undefined) {
    throw new Failure("no API key to send with", {
      exitCode: EXIT.usage,
      why: `none was given, and no dev instance runs on the data folder ${data}`,
      next: "give --key or set PULSEGATE_KEY, or start `pulsegate dev`",
    });
  }
  return { url: url ?? runtime?.dataUrl ?? URL_DEFAULT, key: found };
}
