import type { Command } from "commander";
import { EXIT } from "../../app/cli/failure.ts";
import { createProgram } from "../../app/cli/program.ts";
import { code, page, table } from "./markdown.ts";

const EXIT_WORDS: Readonly<Record<keyof typeof EXIT, string>> = {
  done: "Done.",
  failed: "Failed; standard error tells what, why and the next step.",
  usage: "Wrong usage.",
  unreachable: "Could not reach PulseGate (or, for `sql`, the database).",
  interrupted: "Interrupted.",
};

const VARIABLES = [
  ["PULSEGATE_ADMIN_URL", "Base URL of the operations port, e.g. `http://127.0.0.1:8081`."],
  ["PULSEGATE_ADMIN_TOKEN", "A token of the admin API (`ops.tokens`)."],
  ["PULSEGATE_URL", "Base URL of the data port, for `send` and `prove`."],
  ["PULSEGATE_KEY", "The API key, for `send`."],
  ["PULSEGATE_DATABASE_URL", "As `--database-url`."],
  ["PULSEGATE_DEBUG", "Set to anything: unexpected errors are shown with their stack."],
] as const;

export function cliPage(): string {
  const program = createProgram({ version: "", onExitCode: () => {} });
  const exits = Object.entries(EXIT).map(([name, value]) => [String(value), EXIT_WORDS[name as keyof typeof EXIT]]);
  return page(
    "Command line",
    "Data goes to standard output, everything else to standard error. Commands that ask a running PulseGate find a dev instance through its data folder (`--data`), others by the variables below.",
    ...leavesOf(program, "pulsegate").map(([name, command]) => section(name, command)),
    "## Exit codes",
    table(["code", "meaning"], exits),
    "## Environment",
    table(
      ["variable", "meaning"],
      VARIABLES.map(([name, meaning]) => [code(name), meaning]),
    ),
  );
}

function leavesOf(command: Command, name: string): Array<[string, Command]> {
  if (command.commands.length === 0) return [[name, command]];
  return command.commands.flatMap((inner) => leavesOf(inner, `${name} ${inner.name()}`));
}

function section(name: string, command: Command): string {
  let help = "";
  command.configureOutput({
    writeOut: (text) => (help += text),
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return `## ${name}\n\n\`\`\`text\n${help.trim()}\n\`\`\``;
}
