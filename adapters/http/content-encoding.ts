import { promisify } from "node:util";
import { brotliDecompress, constants, gunzip, zstdDecompress } from "node:zlib";
import { PulseGateError } from "../../core/canonical/errors.ts";

/** For `Accept-Encoding` in a 415 (RFC 9110, 15.5.16). */
export const ACCEPTED_ENCODINGS = "gzip, br, zstd";

/** Decodes a whole body; what would grow beyond `bytesMax` is given up as soon as it does. */
export interface Decoder {
  decode(encoded: Buffer, bytesMax: number): Promise<Buffer>;
}

interface DecodeOptions {
  readonly maxOutputLength: number;
  readonly chunkSize: number;
  readonly info: true;
  readonly params?: Readonly<Record<number, number>>;
}

type Decompress = (bytes: Buffer, options: DecodeOptions) => Promise<unknown>;

/** RFC 9659: a window of 8 MiB is all that a decoder of this coding owes; more is memory for the asking. */
const ZSTD_WINDOW = { [constants.ZSTD_d_windowLogMax]: 23 };

const zstd = promisify(zstdDecompress) as unknown as Decompress;

const DECODERS: Readonly<Record<string, Decompress>> = {
  gzip: promisify(gunzip) as Decompress,
  // RFC 9110, 8.4.1.3: the same thing.
  "x-gzip": promisify(gunzip) as Decompress,
  br: promisify(brotliDecompress) as Decompress,
  zstd: (bytes, options) => zstd(bytes, { ...options, params: ZSTD_WINDOW }),
};

/** At most so many at one time: they share the thread pool with the log's writes. */
const DECODES_MAX = 2;
const CHUNK_BYTES = 64 * 1024;

/** The decoder for a `Content-Encoding`: undefined for none, "unsupported" for an unknown or a stacked one. */
export function decoderFor(contentEncoding: string | undefined): Decoder | undefined | "unsupported" {
  const encoding = contentEncoding?.trim().toLowerCase();
  if (encoding === undefined || encoding === "identity" || encoding === "") return undefined;
  const decompress = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (decompress === undefined) return "unsupported";
  return { decode: (encoded, bytesMax) => inTurn(() => decodeWith(decompress, encoded, bytesMax)) };
}

let running = 0;
const waiting: Array<() => void> = [];

/** Requests that wait here are bounded by the connections, and their bodies by the body budget. */
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running === DECODES_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

async function decodeWith(decompress: Decompress, encoded: Buffer, bytesMax: number): Promise<Buffer> {
  try {
    const options = { maxOutputLength: bytesMax, chunkSize: CHUNK_BYTES, info: true as const };
    const { buffer, engine } = (await decompress(encoded, options)) as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    if (engine.bytesWritten === encoded.length) return buffer;
  } catch (error) {
    throw asRefusal(error, bytesMax);
  }
  throw new PulseGateError("malformed_encoding", "there are bytes behind the end of the compressed body");
}

function asRefusal(error: unknown, bytesMax: number): unknown {
  const { code } = error as { code?: unknown };
  if (code === "ERR_BUFFER_TOO_LARGE") {
    return new PulseGateError("body_too_large", `the decoded body is larger than ${bytesMax} bytes`, { cause: error });
  }
  if (typeof code === "string" && DECODE_FAULT.test(code)) {
    return new PulseGateError("malformed_encoding", "the compressed body is damaged or ends too early", {
      cause: error,
    });
  }
  return error;
}

/** zlib's own codes for bad input; running out of memory is not among them. */
const DECODE_FAULT =
  /^(Z_DATA_ERROR|Z_BUF_ERROR|Z_NEED_DICT|ERR__?ERROR_FORMAT|ERR_BROTLI|ERR_PADDING|ZSTD_error_(?!memory))/;
