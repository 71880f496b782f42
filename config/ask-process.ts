import { type ChildProcess, fork } from "node:child_process";

const HEAP_MIB = 256;
const STDERR_LENGTH_MAX = 2_000;

export type ProcessEnd<T> =
  | { readonly type: "answer"; readonly answer: T }
  | { readonly type: "late" }
  /** e.g. `ended the process (exit code 1): Error: …` */
  | { readonly type: "died"; readonly how: string };

/**
 * Starts a process that answers one request, for code that is not trusted to come back: it ends with
 * its answer or at the deadline. What it prints belongs to nobody. Never rejects.
 */
export function askProcess<T>(options: {
  readonly entry: URL;
  readonly request: unknown;
  readonly timeoutMs: number;
  /** This process's own when it is left out. */
  readonly env?: Readonly<Record<string, string>>;
}): Promise<ProcessEnd<T>> {
  const { entry, request, timeoutMs, env } = options;
  const child = fork(entry, {
    serialization: "advanced",
    ...(env && { env }),
    execArgv: ["--disable-warning=ExperimentalWarning", `--max-old-space-size=${HEAP_MIB}`],
    // Its last words tell why it died.
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return new Promise((done) => {
    const words = stderrOf(child);
    const end = (result: ProcessEnd<T>) => {
      clearTimeout(deadline);
      child.kill("SIGKILL");
      done(result);
    };
    const deadline = setTimeout(() => end({ type: "late" }), timeoutMs);
    child.on("message", (answer) => end({ type: "answer", answer: answer as T }));
    child.on("error", (error) => end({ type: "died", how: `could not begin: ${error.message}` }));
    child.on("close", (code, signal) => {
      end({ type: "died", how: `ended the process (${signal ?? `exit code ${code}`})${lastWords(words())}` });
    });
    // One that could not be told has died, and says so.
    child.send(request as object, () => undefined);
  });
}

function stderrOf(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-STDERR_LENGTH_MAX);
  });
  return () => text;
}

function lastWords(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const line = lines.findLast((one) => /^\w*Error\b/.test(one));
  return line === undefined ? "" : `: ${line}`;
}
