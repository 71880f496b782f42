import { spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";

export interface Shell {
  /** Runs a command as if it had been typed; its output, without what it writes to stderr. */
  run(command: string): Promise<string>;
}

/** One bash for several commands, as in a terminal: with jobs in the background. All that it started is killed when the test ends. */
export function startShell(cwd: string): Shell {
  const bash = spawn("bash", ["--norc"], { cwd, detached: true, stdio: ["pipe", "pipe", "ignore"] });
  onTestFinished(async () => {
    const ended = once(bash, "exit");
    process.kill(-(bash.pid as number), "SIGKILL");
    await ended;
  });
  let output = "";
  let look = (): void => {};
  bash.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    look();
  });
  let broken = (): void => {};
  bash.once("exit", () => broken());
  let count = 0;
  return {
    async run(command) {
      const end = `-- end of ${++count} --\n`;
      output = "";
      bash.stdin.write(`${command}\necho '${end.trimEnd()}'\n`);
      await new Promise<void>((resolve, reject) => {
        look = () => output.endsWith(end) && resolve();
        broken = () => reject(new Error(`the shell ended at: ${command}`));
      });
      return output.slice(0, -end.length);
    },
  };
}
