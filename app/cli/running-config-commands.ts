import { readFile } from "node:fs/promises";
import { AdminClient, pathOf } from "./admin-client.ts";
import type { AdminOptions } from "./admin-client.ts";
import { confirm } from "./confirm.ts";
import { EXIT, Failure } from "./failure.ts";
import { printJson, printLine, printNote, printRows } from "./print.ts";
import type { Row } from "./print.ts";

interface Running {
  readonly revision: number;
}

interface Problem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly hint?: string;
}

/** `config revisions`: those whose text is kept. */
export async function listRevisions(options: AdminOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const { revision } = await client.get<Running>("/config");
  const items = await client.all<Row>("/config/revisions");
  if (options.json === true) {
    printJson({ running: revision, items });
    return;
  }
  const rows = items.map((item) => ({ ...item, running: item.number === revision ? "*" : "" }));
  printRows(rows, ["number", "running", "at", "origin", "by"], "No revision is kept.");
}

/** `config show`: a revision's text, secrets masked; the running one unless told. */
export async function showRevision(number: number | undefined, options: AdminOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const wanted = number ?? (await client.get<Running>("/config")).revision;
  const revision = await client.get<{ text: string }>(`/config/revisions${pathOf(wanted)}`);
  if (options.json === true) printJson(revision);
  else printLine(revision.text.trimEnd());
}

/** `config diff`: between two revisions, secrets masked. */
export async function diffRevisions(from: number, to: number | undefined, options: AdminOptions): Promise<void> {
  const client = await AdminClient.find(options);
  const second = to ?? (await client.get<Running>("/config")).revision;
  const result = await client.get<{ diff: string; secrets_changed: boolean }>("/config/diff", { from, to: second });
  if (options.json === true) {
    printJson(result);
    return;
  }
  if (result.diff === "") printNote(`revisions ${from} and ${second} have the same text, secrets aside`);
  else printLine(result.diff.trimEnd());
  if (result.secrets_changed) printNote("secrets differ as well");
}

/** `config apply`: makes a file the running configuration, unless another has changed it meanwhile. */
export async function applyConfig(file: string, options: AdminOptions & { readonly yes?: boolean }): Promise<void> {
  const client = await AdminClient.find(options);
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure(`can't read ${file}`, { exitCode: EXIT.usage, why: (error as Error).message });
  });
  const { value, tag } = await running(client);
  const checked = await client.post<{ ok: boolean; problems: Problem[] }>("/config/validate", { body: text });
  if (!checked.ok) {
    for (const { line, column, message, hint } of checked.problems) {
      printNote(`${file}:${line}:${column}: ${message}${hint === undefined ? "" : ` (${hint})`}`);
    }
    throw new Failure(`${file} is not valid: ${checked.problems.length} problem(s)`, {
      next: "mend the above; nothing changed",
    });
  }
  await confirm(`${file} is to run in place of revision ${value.revision}.`, options.yes === true);
  const applied = await client.post<Running>("/config/apply", { body: text, headers: { "if-match": tag } });
  print(applied, value, options);
}

/** `config rollback`: an older revision's text runs again, as a new revision. */
export async function rollBack(to: number, options: AdminOptions & { readonly yes?: boolean }): Promise<void> {
  const client = await AdminClient.find(options);
  const { value, tag } = await running(client);
  await confirm(`The text of revision ${to} is to run in place of revision ${value.revision}.`, options.yes === true);
  const applied = await client.post<Running>("/config/rollback", { body: { to }, headers: { "if-match": tag } });
  print(applied, value, options);
}

async function running(client: AdminClient): Promise<{ readonly value: Running; readonly tag: string }> {
  const { value, tag } = await client.tagged("/config");
  return { value: value as Running, tag };
}

function print(applied: Running, before: Running, { json }: AdminOptions): void {
  if (json === true) printJson(applied);
  else if (applied.revision === before.revision) printLine(`nothing changed: revision ${applied.revision} runs`);
  else printLine(`revision ${applied.revision} runs`);
}

/** `audit`: who changed what, the newest first. */
export async function listAudit(
  options: AdminOptions & { readonly tenant?: string; readonly limit: number; readonly after?: string },
): Promise<void> {
  const client = await AdminClient.find(options);
  const { tenant, limit, after } = options;
  const page = await client.get<{ items: Array<Row & { who: { id: string } }>; next: string | null }>("/audit", {
    tenant,
    limit,
    after,
  });
  if (options.json === true) {
    printJson(page);
    return;
  }
  const rows = page.items.map((item) => ({ ...item, who: item.who.id }));
  printRows(rows, ["at", "who", "action", "target", "outcome", "reason"], "Nothing was changed yet.");
  if (page.next !== null) printNote(`\nmore: add --after ${page.next}`);
}
