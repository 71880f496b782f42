import { Agent, request } from "node:http";

export interface Door {
  /** Of the data port. */
  readonly url: string;
  readonly key: string;
}

export interface SenderOptions extends Door {
  /** Events per second, sent on schedule whether or not answers come. */
  readonly rate: number;
  readonly body: (n: number) => string;
  /** The number of the first; the next ones follow. */
  readonly from: number;
  readonly onAnswer: (answer: { readonly n: number; readonly status: number; readonly sentAt: number }) => void;
}

export interface Sender {
  /** Sends nothing more; resolves with the number of the next event, when every answer is there. */
  stop(): Promise<number>;
}

const TICK_MS = 4;
/** Beyond so many without an answer nothing is sent: the proof is not to fall by its own memory. */
const OUTSTANDING_MAX = 1_000;

/** An open loop of single events. A status of 0 stands for a connection that failed. */
export function startSender({ url, key, rate, body, from, onAnswer }: SenderOptions): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const startedAt = performance.now();
  const idle = Promise.withResolvers<void>();
  let sent = 0;
  let outstanding = 0;
  let isStopped = false;
  const send = (n: number): void => {
    outstanding += 1;
    const sentAt = performance.now();
    void post({ url, key, body: body(n), agent }).then((status) => {
      outstanding -= 1;
      onAnswer({ n, status, sentAt });
      if (isStopped && outstanding === 0) idle.resolve();
    });
  };
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * rate);
    const room = Math.min(due - sent, OUTSTANDING_MAX - outstanding);
    for (let n = 0; n < room; n++) send(from + sent + n);
    // What there was no room for is given up.
    sent = due;
  }, TICK_MS);
  return {
    async stop() {
      clearInterval(timer);
      isStopped = true;
      if (outstanding > 0) await idle.promise;
      agent.destroy();
      return from + sent;
    },
  };
}

export interface Post extends Door {
  readonly body: string;
  readonly agent: Agent;
  /** Of the data port. */
  readonly path?: string;
  readonly type?: string;
}

const TIMEOUT_MS = 30_000;

/** Posts one body; gives the answer's status once all of it is here, 0 when there is none. */
export function post({ url, key, body, agent, path = "/v1/events", type = "application/json" }: Post): Promise<number> {
  return new Promise((resolve) => {
    const headers = { "x-api-key": key, "content-type": type, "content-length": Buffer.byteLength(body) };
    const sent = request(new URL(path, url), { method: "POST", headers, agent, timeout: TIMEOUT_MS }, (response) => {
      response.resume();
      response.on("close", () => resolve(response.complete ? (response.statusCode ?? 0) : 0));
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => resolve(0));
    sent.end(body);
  });
}
