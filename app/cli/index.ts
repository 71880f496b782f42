import { CommanderError } from "commander";
import { VERSION } from "../version.ts";
import { describeFailure, EXIT, Failure } from "./failure.ts";
import { createProgram } from "./program.ts";

const LEFTOVERS_MS = 200;

/** Runs the command line; what it ends with is the process's exit code. */
async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = createProgram({
    version: VERSION,
    onExitCode: (code) => {
      exitCode = code;
    },
  });
  for (const command of [program, ...descendants(program)]) command.exitOverride();
  try {
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    // Commander has told of it already; its help and version end this way, too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    process.stderr.write(describeFailure(error));
    return error instanceof Failure ? error.exitCode : EXIT.failed;
  }
}

type AnyCommand = ReturnType<typeof createProgram>;

function descendants(command: AnyCommand): AnyCommand[] {
  return command.commands.flatMap((inner) => [inner, ...descendants(inner)]);
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.failed);
});

process.exitCode = await main(process.argv);
// What was left behind when it did not stop in time must not keep the process.
setTimeout(() => process.exit(), LEFTOVERS_MS).unref();
