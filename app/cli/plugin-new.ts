import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CATALOG } from "./catalog.ts";
import { EXIT, Failure } from "./failure.ts";
import { printLine } from "./print.ts";

const NAME_PATTERN = /^[a-z][a-z0-9_]{0,62}$/;

/** `plugins new`: a folder with a plugin that works, its tests and its README; never overwrites. */
export function newPlugin(kind: "transform" | "sink", name: string): void {
  if (!NAME_PATTERN.test(name))
    throw new Failure(`${name} is no name for a plugin`, {
      exitCode: EXIT.usage,
      why: "a name starts with a letter and has lower-case letters, digits and _ only",
      next: `pulsegate plugins new ${kind} my_${kind}`,
    });
  if (CATALOG.some((plugin) => plugin.name === name))
    throw new Failure(`${name} is the name of a built-in plugin`, { next: "take another name" });
  const folder = resolve(name);
  if (existsSync(folder)) throw new Failure(`${name} exists already`, { next: "take another name, or remove it" });
  cpSync(join(templates(), kind), folder, { recursive: true });
  for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) rename(join(folder, file), kind, name);
  printLine(`${name}/ holds a ${kind} that works. Next:`);
  printLine(`  pulsegate plugins check ./${name}     its promises and its tests`);
  printLine(`  then name it in a configuration:      - name: ./${name}`);
}

function rename(file: string, kind: string, name: string): void {
  if (!/\.(?:ts|json|md)$/.test(file)) return;
  const text = readFileSync(file, "utf8");
  const renamed = text.replaceAll(`my_${kind}`, name).replaceAll(`my-${kind}`, name.replaceAll("_", "-"));
  if (renamed !== text) writeFileSync(file, renamed);
}

/** They lie at the root: two levels up in a clone, three in the built package. */
function templates(): string {
  for (const path of ["../../templates/", "../../../templates/"]) {
    const folder = fileURLToPath(new URL(path, import.meta.url));
    if (existsSync(folder)) return folder;
  }
  throw new Error("the templates are missing from the installation");
}
