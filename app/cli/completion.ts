import type { Command } from "commander";
import { printLine } from "./print.ts";

/** One place on the command line, and what may stand there. */
interface Place {
  /** Commands so far, e.g. `dlq list`; empty at first. */
  readonly path: string;
  readonly commands: readonly string[];
  readonly options: readonly string[];
}

/** `completion`: a script for the shell, made from the commands themselves. */
export function printCompletion(program: Command, shell: "bash" | "zsh" | "fish"): void {
  const places = placesOf(program, "");
  printLine(shell === "fish" ? fish(places) : shell === "bash" ? bash(places) : zsh(places));
}

function placesOf(command: Command, path: string): Place[] {
  const commands = command.commands.map((inner) => inner.name());
  const options = ["--help", ...command.options.flatMap(({ long }) => long ?? [])];
  const inner = command.commands.flatMap((one) => placesOf(one, path === "" ? one.name() : `${path} ${one.name()}`));
  return [{ path, commands, options }, ...inner];
}

/** The words that are neither options nor their values are the path; of a leaf's arguments nothing is known. */
function bash(places: readonly Place[]): string {
  const cases = places.map(
    ({ path, commands, options }) => `    "${path}") words="${[...commands, ...options].join(" ")}" ;;`,
  );
  return `_pulsegate() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path="" word words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ "$word" == -* ]] && break
    path="\${path:+$path }$word"
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _pulsegate pulsegate`;
}

function zsh(places: readonly Place[]): string {
  return `#compdef pulsegate
autoload -U +X bashcompinit && bashcompinit
${bash(places)}`;
}

function fish(places: readonly Place[]): string {
  const lines = ["complete -c pulsegate -f"];
  for (const { path, commands, options } of places) {
    const words = path === "" ? [] : path.split(" ");
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const unseen = commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.join(" ")}`];
    const condition = [...seen, ...unseen].join("; and ");
    const when = condition === "" ? "" : ` -n '${condition}'`;
    for (const command of commands) lines.push(`complete -c pulsegate${when} -a ${command}`);
    for (const option of options) lines.push(`complete -c pulsegate${when} -l ${option.slice(2)}`);
  }
  return lines.join("\n");
}
