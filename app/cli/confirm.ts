import { createInterface } from "node:readline/promises";
import { EXIT, Failure } from "./failure.ts";

/** Lets a person agree to what can't be undone; fails when nobody is there to ask, or when the answer is not yes. */
export async function confirm(what: string, isAgreed: boolean): Promise<void> {
  if (isAgreed) return;
  if (!process.stdin.isTTY) {
    throw new Failure("nobody is there to confirm this", { exitCode: EXIT.usage, why: what, next: "add --yes" });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${what} Go on? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new Failure("nothing was changed");
  } finally {
    terminal.close();
  }
}
