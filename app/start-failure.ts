import { PulseGateError } from "../core/canonical/errors.ts";

/** Why a start failed, in words for the one who typed the command: what, and the next step. */
export interface StartFailure {
  readonly what: string;
  readonly next: string;
}

/** Undefined for what is no known hindrance: a fault of ours, to be shown whole. */
export function startFailure(error: unknown): StartFailure | undefined {
  if (error instanceof PulseGateError) return logFailure(error);
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, address, port, path } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  switch (code) {
    case "EADDRINUSE":
      return {
        what: `port ${port} on ${address} is taken by another program`,
        next: "stop it, or choose other ports: --port and --ops-port for dev, http.port and ops.port in the configuration",
      };
    case "EADDRNOTAVAIL":
      return { what: `this machine has no address ${address}`, next: "set http.host and ops.host to one that it has" };
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return port === undefined
        ? {
            what: `${path ?? "the data folder"} can't be written`,
            next: "give this user write access, or choose another folder",
          }
        : { what: `this user may not listen on port ${port}`, next: "choose a port from 1024 up" };
    case "ENOENT":
      // In a file system like /proc, which takes no folders; any other missing file is ours to explain.
      return syscall === "mkdir"
        ? { what: `${path ?? "the data folder"} can't be made`, next: "choose another folder" }
        : undefined;
    case "ENOTDIR":
    case "EEXIST":
      return { what: `${path ?? "the data folder"} is not a folder`, next: "choose another folder" };
    case "ENOSPC":
    case "EDQUOT":
      return {
        what: `no space left for ${path ?? "the data folder"}`,
        next: "free some space, or choose another folder",
      };
    default:
      return undefined;
  }
}

function logFailure(error: PulseGateError): StartFailure | undefined {
  switch (error.code) {
    case "log_in_use":
      return { what: error.message, next: "stop that process, or choose another data folder" };
    case "log_unsafe": {
      const next = "run the commands in brackets, or set log.durability to relaxed to live with the loss";
      return { what: error.message, next };
    }
    case "log_unavailable":
      return (
        (error.cause === undefined ? undefined : startFailure(error.cause)) ?? {
          what: error.message,
          next: "start Redis, or mend log.url in the configuration",
        }
      );
    case "log_corrupt":
      return { what: error.message, next: "restore the folder from a backup, or move it away to begin anew" };
    case "log_full":
      return { what: "no space left for the ingestion log", next: "free some space, or choose another folder" };
    case "malformed_request":
      return { what: error.message, next: "mend the configuration and start again" };
    default:
      return error.cause === undefined ? undefined : startFailure(error.cause);
  }
}
