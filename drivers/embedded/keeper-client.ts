import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { isErrorCode } from "../../core/canonical/errors.ts";
import { errorCodeOf } from "./disk.ts";
import {
  type CompactReply,
  type CompactRequest,
  type Indexed,
  Keeper,
  type KeeperOptions,
  type KeeperStart,
  type LoadedFilters,
} from "./keeper.ts";
import type { Sealed } from "./sidecar-writer.ts";

export type KeeperThreadData = Omit<KeeperOptions, "disk">;

export type KeeperRequest =
  | { readonly type: "load"; readonly start: KeeperStart }
  | { readonly type: "prepare"; readonly segment: number }
  | { readonly type: "index"; readonly sealed: Sealed }
  | { readonly type: "compact"; readonly what: CompactRequest };

export type KeeperReply =
  | { readonly type: "loaded"; readonly filters: LoadedFilters }
  | { readonly type: "prepared"; readonly segment: number }
  | { readonly type: "indexed"; readonly indexed: Indexed }
  | { readonly type: "compacted"; readonly reply: CompactReply }
  /** `code`: an errno name, or `log_corrupt`. */
  | { readonly type: "failed"; readonly request: KeeperRequest; readonly code: string; readonly message: string };

export interface KeeperClient {
  /** Replies come in the order of the requests. */
  send(request: KeeperRequest): void;
  /** Resolves once nothing more is touched. */
  close(): Promise<void>;
}

/** What it makes is garbage at once: with more room for the young, that much more memory is held for ever. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4 };

/** The keeper in a thread of its own. */
export function startKeeperThread(data: KeeperThreadData, onReply: (reply: KeeperReply) => void): KeeperClient {
  const file = new URL(`./keeper-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
  const worker = new Worker(file, { workerData: data, stdin: false, resourceLimits: RESOURCE_LIMITS });
  let closing = false;
  const requests: KeeperRequest[] = [];
  worker.unref();
  worker.on("message", (reply: KeeperReply) => {
    requests.shift();
    onReply(reply);
  });
  worker.on("error", (error: Error) => {
    const request = requests.shift();
    if (request !== undefined && !closing)
      onReply({ type: "failed", request, code: errorCodeOf(error), message: error.message });
  });
  return {
    send(request) {
      requests.push(request);
      worker.postMessage(request);
    },
    async close() {
      closing = true;
      // Whatever it was at is written under a temporary name and begun anew at the next start.
      const gone = once(worker, "exit");
      await worker.terminate();
      await gone.catch(() => undefined);
    },
  };
}

/** The keeper on this thread, for disks that can't be handed to another. */
export function startKeeperHere(options: KeeperOptions, onReply: (reply: KeeperReply) => void): KeeperClient {
  const keeper = new Keeper(options);
  let closed = false;
  return {
    send(request) {
      setImmediate(() => {
        if (!closed) onReply(answer(keeper, request));
      });
    },
    async close() {
      closed = true;
    },
  };
}

export function answer(keeper: Keeper, request: KeeperRequest): KeeperReply {
  try {
    if (request.type === "load") return { type: "loaded", filters: keeper.load(request.start) };
    if (request.type === "prepare") {
      keeper.prepare(request.segment);
      return { type: "prepared", segment: request.segment };
    }
    if (request.type === "compact") return { type: "compacted", reply: keeper.compact(request.what) };
    return { type: "indexed", indexed: keeper.index(request.sealed) };
  } catch (error) {
    const code = isErrorCode(error, "log_corrupt") ? "log_corrupt" : errorCodeOf(error);
    return { type: "failed", request, code, message: error instanceof Error ? error.message : String(error) };
  }
}
