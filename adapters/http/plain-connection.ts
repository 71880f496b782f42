import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Exchange } from "./exchange.ts";
import type { PlainRequest } from "./plain-request.ts";
import { plainRequest } from "./plain-request.ts";
import type { ReadyAnswer, WireResponse, WireSource } from "./wire.ts";

/** What all plain connections of one server share. */
export interface PlainScope {
  /** Begins the one exchange of a request, and handles it as far as its head goes. */
  begin(request: PlainRequest, response: WireResponse): Exchange;
  /** Gives the connection to node:http, for good. Nothing of ours listens to it any more. */
  handOver(socket: Socket): void;
  /** `Date`, `Connection` and `Keep-Alive` of an answer after which the connection goes on, as lines. */
  headersKeptAlive(): string;
  /** `Date` and `Connection` of the last answer, as lines. */
  headersClosing(): string;
  monotonic(): number;
  gone(connection: PlainConnection): void;
}

/**
 * A connection whose requests are read by ourselves as long as each comes as one plain chunk, one at
 * a time. At the first chunk that is anything else it becomes node:http's, with that chunk.
 */
export class PlainConnection implements WireResponse {
  readonly socket: Socket;
  /** Since when nothing is under way. */
  restsSinceMs: number;
  /** A request came. */
  isUsed = false;
  readonly #scope: PlainScope;
  /** The exchange under way. */
  #current: Exchange | undefined = undefined;
  /** What came while one was under way, or as that was answered. */
  #held: Buffer[] = [];
  #over: (() => void) | undefined = undefined;

  constructor(socket: Socket, scope: PlainScope) {
    this.socket = socket;
    this.#scope = scope;
    this.restsSinceMs = scope.monotonic();
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", ignore);
    socket.on("close", this.#onClose);
  }

  get source(): WireSource {
    return this.socket;
  }

  get isResting(): boolean {
    return this.#current === undefined;
  }

  /** None of our answers waits for a client that does not read. */
  get isSent(): boolean {
    return this.socket.writableLength === 0;
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#current !== undefined || this.#held.length > 0) return this.#hold(chunk);
    const request = this.isSent ? plainRequest(chunk) : undefined;
    if (request === undefined) return this.#handOver(chunk);
    this.isUsed = true;
    this.#take(request);
  };

  #take(request: PlainRequest): void {
    const exchange = this.#scope.begin(request, this);
    if (!exchange.answered) this.#current = exchange;
    const { sink, body } = request;
    // Whoever waits for an answer keeps the head alone.
    request.body = NOTHING;
    if (sink === undefined) return;
    if (body.length > 0) sink.take(body);
    sink.end();
  }

  /** Not looked at before the answer is given; until then no second chunk comes. */
  #hold(chunk: Buffer): void {
    if (this.#current !== undefined) this.socket.pause();
    this.#held.push(chunk);
  }

  readonly #onEnd = (): void => {
    if (this.#current === undefined) this.socket.end();
    else this.#current.closing = true;
  };

  readonly #onClose = (): void => {
    this.#scope.gone(this);
    this.#isOver();
  };

  writeContinue(): void {
    // A plain request does not ask for it.
  }

  /** Never needed: all of a plain request was read. */
  sendEarly(answer: ReadyAnswer): void {
    this.send(answer, true);
  }

  send(answer: ReadyAnswer, closes: boolean): void {
    const { socket } = this;
    this.#current = undefined;
    this.restsSinceMs = this.#scope.monotonic();
    if (!socket.writable) return this.#isOver();
    const head = headOf(answer);
    const rest = closes ? this.#scope.headersClosing() : this.#scope.headersKeptAlive();
    socket.write(`${head}${rest}\r\n${answer.body}`, answer.isAscii ? "latin1" : "utf8");
    if (this.isSent) this.#isOver();
    else if (this.#over !== undefined) socket.write("", () => this.#isOver());
    if (closes) socket.destroySoon();
    else if (this.#held.length > 0) this.#goOn();
  }

  /** With what was held, and what the stream kept meanwhile: it flows again when node:http gets the connection. */
  #goOn(): void {
    this.socket.resume();
    process.nextTick(() => {
      if (!this.socket.destroyed) this.#handOver(Buffer.concat(this.#held.splice(0)));
    });
  }

  whenOver(done: () => void): void {
    this.#over = done;
  }

  #isOver(): void {
    const done = this.#over;
    this.#over = undefined;
    done?.();
  }

  #handOver(chunk: Buffer): void {
    const { socket } = this;
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("error", ignore);
    socket.off("close", this.#onClose);
    this.#scope.gone(this);
    this.#scope.handOver(socket);
    // node:http takes the bytes in front of the stream. This tells the stream that it is being read from, or it would
    // begin to read by itself in the next tick, also when node:http has just told the connection to pause.
    socket.read(0);
    socket.emit("data", chunk);
  }
}

const NOTHING = Buffer.alloc(0);

/** A connection that breaks is closed, and that is all there is to say of it. */
function ignore(): void {}

function headOf({ status, headers }: ReadyAnswer): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return head;
}
