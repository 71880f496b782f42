import type { Agent, Dispatcher } from "undici";

/** Of an answer's body, in bytes: more than a dead letter keeps, little enough to hold. */
const BODY_BYTES_MAX = 8 * 1024;
/** The rest of a success is read, up to this, so that its connection can be used again. */
const DUMP_BYTES_MAX = 64 * 1024;
/** An idle connection may have been closed just when it was taken: such a request is made anew, once. */
const BROKEN: ReadonlySet<string> = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** The beginning of the body; "" for a success. */
  readonly text: string;
}

export interface Exchange {
  readonly agent: Agent;
  readonly url: URL;
  readonly method: "POST" | "OPTIONS";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly timeoutMs: number;
  /** Cancels it. */
  readonly signal: AbortSignal;
}

/** Nobody knows what became of the request. */
class Unanswered extends Error {
  readonly code: "timeout" | "aborted";
  constructor(code: "timeout" | "aborted", message: string) {
    super(message);
    this.name = "Unanswered";
    this.code = code;
  }
}

/** One request and its answer, within the deadline; rejects when there is none. Redirects are not followed. */
export async function exchange(options: Exchange): Promise<Answer> {
  const { signal, timeoutMs } = options;
  const end = new AbortController();
  const cancel = () => end.abort(new Unanswered("aborted", "the delivery was cancelled"));
  const late = () => end.abort(new Unanswered("timeout", `the endpoint did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    return await request(options, end.signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (end.signal.aborted) throw end.signal.reason;
    if (code === undefined || !BROKEN.has(code)) throw error;
    return await request(options, end.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}

async function request({ agent, url, method, headers, body }: Exchange, signal: AbortSignal): Promise<Answer> {
  const response = await agent.request({
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method,
    headers,
    body: body ?? null,
    signal,
  });
  const { statusCode: status } = response;
  const retryAfter = response.headers["retry-after"];
  // From here on the answer is known, whatever becomes of its body.
  const isSuccess = status >= 200 && status < 300;
  const text = isSuccess ? "" : await beginning(response);
  if (isSuccess) await response.body.dump({ limit: DUMP_BYTES_MAX });
  return { status, retryAfter: typeof retryAfter === "string" ? retryAfter : undefined, text };
}

async function beginning({ body }: Dispatcher.ResponseData): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= BODY_BYTES_MAX) break;
    }
  } catch {
    // What came before it broke is all there is.
  }
  return Buffer.concat(pieces).subarray(0, BODY_BYTES_MAX).toString("utf8");
}
