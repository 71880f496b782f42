import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { DATA_DIR_DEFAULT } from "./data-dir.ts";

/** What commands have in common. */

export function examples(...commands: readonly string[]): string {
  return `\nExamples:\n${commands.map((command) => `  $ ${command}`).join("\n")}`;
}

export const jsonOption = () => new Option("--json", "print data as JSON");
export const dataOption = () => new Option("--data <dir>", "data folder of the dev instance").default(DATA_DIR_DEFAULT);

export function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Above 0, up to 1. */
export function share(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 1) return value;
  throw new InvalidArgumentError("It must be a number above 0 and up to 1.");
}

/** An option that may be given more than once. */
export function several(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** A group of commands. */
export function group(parent: Command, name: string, description: string, shown: readonly string[]): Command {
  return parent
    .command(name)
    .description(description)
    .addHelpText("after", examples(...shown));
}

/** A command that asks a running PulseGate. */
export function admin(parent: Command, name: string): Command {
  return parent.command(name).addOption(dataOption()).addOption(jsonOption());
}
