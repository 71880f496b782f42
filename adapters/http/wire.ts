/** What stands between an exchange and its connection, whoever reads requests from that: node:http or `PlainConnection`. */

/** The headers that PulseGate looks at, names in lower case, as node:http gives them. */
export interface RequestHeaders {
  readonly authorization?: string | undefined;
  readonly "content-encoding"?: string | undefined;
  readonly "content-length"?: string | undefined;
  readonly "content-type"?: string | undefined;
  readonly "idempotency-key"?: string | string[] | undefined;
  readonly traceparent?: string | string[] | undefined;
  readonly "transfer-encoding"?: string | undefined;
  readonly "x-api-key"?: string | string[] | undefined;
}

/** What takes a body in. */
export interface BodySink {
  take(chunk: Buffer): void;
  /** All of it came. */
  end(): void;
  /** The connection broke before all of it came. */
  gone(): void;
}

export interface WireRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: RequestHeaders;
  /** Its body came to the end. */
  readonly complete: boolean;
  /** Where the body goes; nowhere when undefined. */
  sink: BodySink | undefined;
}

/** An answer with all its headers but those of the connection. */
export interface ReadyAnswer {
  readonly status: number;
  readonly body: string;
  /** As many bytes as characters: Latin-1 is the same then, and cheaper to write. */
  readonly isAscii: boolean;
  /** Pairs of name and value, `Content-Length` included. */
  readonly headers: readonly string[];
}

/** What can be left unread for a while. */
export interface WireSource {
  pause(): unknown;
  resume(): unknown;
}

export interface WireResponse {
  /** The connection that the request came on. */
  readonly source: WireSource;
  /** All of the answer has left. */
  readonly isSent: boolean;
  writeContinue(): void;
  /** Sends the answer in one write; the connection ends after it when `closes`. */
  send(answer: ReadyAnswer, closes: boolean): void;
  /** Sends the answer before the body was read; the connection ends once the client has stopped sending. */
  sendEarly(answer: ReadyAnswer): void;
  /** Calls back once, when the answer has left or the client is gone. */
  whenOver(done: () => void): void;
}
