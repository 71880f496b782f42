import { Argument, type Command, Option } from "commander";
import { addDeadLetters, addReplay } from "./program-jobs.ts";
import { admin, examples, group, wholeNumber } from "./options.ts";
import { durationMs, pointInTime } from "./times.ts";
import { SORTS } from "./top/rows.ts";

const TENANT = ["--tenant <id>", "this tenant's only"] as const;
const ONE_TENANT = ["--tenant <id>", "the tenant; may be left out when there is only one"] as const;
const YES = ["--yes", "do not ask"] as const;
const revisionNumber = wholeNumber({ min: 1, max: 1_000_000_000 });

/** The commands that ask a running PulseGate. */
export function addAdmin(program: Command): void {
  addEvents(program);
  addDeadLetters(program);
  addReplay(program);
  addTenants(program);
  addKeys(program);
  addLanes(program);
  addLedger(program);
  addStorage(program);
  addTop(program);
  addAudit(program);
}

function addEvents(program: Command): void {
  const shown = ["pulsegate events get demo/0/42", "pulsegate events tail --tenant demo"];
  const events = group(program, "events", "follow events: one to its fate, or all as they come", shown);
  admin(events, "get")
    .description("tell what became of an event: accepted, and each lane's outcome")
    .argument("<id>", "event id or position")
    .option("--tenant <id>", "the event's tenant; all are searched without it")
    .addHelpText(
      "after",
      examples(
        "pulsegate events get demo/0/42",
        "pulsegate events get 0198c0de-0000-7000-8000-000000000001 --tenant demo",
      ),
    )
    .action(async (id: string, options) => {
      const { getEvent } = await import("./event-commands.ts");
      await getEvent(id, options);
    });
  admin(events, "tail")
    .description("follow a tenant's events as they become durable, one line each; --json gives them whole")
    .option(...ONE_TENANT)
    .option("--type <type>", "events of this type only")
    .option("--count <number>", "end after so many", wholeNumber({ min: 1, max: 1_000_000_000 }))
    .addHelpText("after", examples("pulsegate events tail", "pulsegate events tail --type order_paid --json"))
    .action(async (options) => {
      const { tailEvents } = await import("./event-commands.ts");
      await tailEvents(options);
    });
  admin(events, "erase")
    .description("take the payloads of events out of the log and the dead letters, for good; asks with the count")
    .argument("[ids...]", "these alone; all that the options choose when there are none")
    .option(...ONE_TENANT)
    .option("--subject <path=value>", "events whose payload has this value at this path, e.g. customer.id=42")
    .option("--filter <cel>", "events that fit this condition, as in a route")
    .option("--from <time>", "accepted at this time or later: RFC 3339, or 6h for six hours ago", pointInTime)
    .option("--to <time>", "accepted before this time", pointInTime)
    .requiredOption("--reason <text>", "for the audit stream")
    .option(...YES)
    .addHelpText(
      "after",
      examples(
        'pulsegate events erase order-1 order-2 --tenant demo --reason "asked for"',
        'pulsegate events erase --subject customer.email=a@example.com --reason "asked for" --yes',
      ),
    )
    .action(async (ids: string[], options) => {
      const { eraseEvents } = await import("./erase-command.ts");
      await eraseEvents(ids, options);
    });
}

function addTenants(program: Command): void {
  const shown = ["pulsegate tenants list", "pulsegate tenants show demo"];
  const tenants = group(program, "tenants", "look at tenants and their sinks", shown);
  admin(tenants, "list")
    .description("list the tenants of the running configuration")
    .addHelpText("after", examples("pulsegate tenants list", "pulsegate tenants list --json"))
    .action(async (options) => {
      const { listTenants } = await import("./tenant-commands.ts");
      await listTenants(options);
    });
  admin(tenants, "show")
    .description("show a tenant and how its sinks do")
    .argument("<tenant>", "as in the list")
    .addHelpText("after", examples("pulsegate tenants show demo", "pulsegate tenants show demo --json"))
    .action(async (id: string, options) => {
      const { showTenant } = await import("./tenant-commands.ts");
      await showTenant(id, options);
    });
  admin(tenants, "check-sink")
    .description("test whether a sink can be reached with its configuration; sends no event")
    .argument("<sink>", "the sink's id")
    .option(...ONE_TENANT)
    .addHelpText(
      "after",
      examples("pulsegate tenants check-sink postgres_sink", "pulsegate tenants check-sink raw --tenant shop --json"),
    )
    .action(async (sink: string, options) => {
      const { checkSink } = await import("./tenant-commands.ts");
      await checkSink(sink, options);
    });
}

function addKeys(program: Command): void {
  const shown = ["pulsegate keys create web --tenant demo", "pulsegate keys list --tenant demo"];
  const keys = group(program, "keys", "make, rotate and revoke API keys", shown);
  admin(keys, "list")
    .description("list a tenant's keys, never their secrets")
    .option(...ONE_TENANT)
    .addHelpText("after", examples("pulsegate keys list", "pulsegate keys list --tenant shop --json"))
    .action(async (options) => {
      const { listKeys } = await import("./tenant-commands.ts");
      await listKeys(options);
    });
  admin(keys, "create")
    .description(
      "make a key and show it once; with --tenant it is let in at once, else its hash is for the configuration",
    )
    .argument("<id>", "a name for the key, unique within its tenant")
    .option("--tenant <id>", "let it in for this tenant, in the running PulseGate")
    .addHelpText("after", examples("pulsegate keys create web --tenant shop", "pulsegate keys create web"))
    .action(async (id: string, options) => {
      if (options.tenant === undefined) {
        const { createKey } = await import("./keys-command.ts");
        createKey(id, options);
        return;
      }
      const { createLiveKey } = await import("./tenant-commands.ts");
      await createLiveKey(id, options);
    });
  admin(keys, "rotate")
    .description("give a key a new secret and show it once; the old one is let in for the overlap")
    .argument("<id>", "the key")
    .option(...ONE_TENANT)
    .option("--overlap <duration>", "how long both are let in", durationMs, 86_400_000)
    .addHelpText(
      "after",
      examples("pulsegate keys rotate web --tenant shop", "pulsegate keys rotate web --tenant shop --overlap 1h"),
    )
    .action(async (id: string, options) => {
      const { rotateKey } = await import("./tenant-commands.ts");
      await rotateKey(id, options);
    });
  admin(keys, "revoke")
    .description("let a key in no more, wherever it stands; asks before it does")
    .argument("<id>", "the key")
    .option(...ONE_TENANT)
    .option("--reason <text>", "for the audit stream")
    .option(...YES)
    .addHelpText(
      "after",
      examples("pulsegate keys revoke web --tenant shop", "pulsegate keys revoke web --reason leaked --yes"),
    )
    .action(async (id: string, options) => {
      const { revokeKey } = await import("./tenant-commands.ts");
      await revokeKey(id, options);
    });
}

function addLanes(program: Command): void {
  const shown = ["pulsegate lanes list", "pulsegate lanes pause demo/0/raw"];
  const lanes = group(program, "lanes", "look at lanes; pause, resume, skip, drop", shown);
  admin(lanes, "list")
    .description("list lanes with their place in the log")
    .option(...TENANT)
    .addHelpText("after", examples("pulsegate lanes list", "pulsegate lanes list --tenant demo --json"))
    .action(async (options) => {
      const { listLanes } = await import("./lane-commands.ts");
      await listLanes(options);
    });
  for (const [action, description] of [
    ["pause", "let a lane deliver nothing more until it is resumed; what comes for it waits in the log"],
    ["resume", "let a paused lane go on from where it stood"],
  ] as const) {
    admin(lanes, action)
      .description(description)
      .argument("<lane>", "tenant/partition/sink, as in the list")
      .option("--reason <text>", "for the list and the audit stream")
      .addHelpText(
        "after",
        examples(
          `pulsegate lanes ${action} demo/0/raw`,
          `pulsegate lanes ${action} demo/0/raw --reason "table locked"`,
        ),
      )
      .action(async (lane: string, options) => {
        const { holdLane } = await import("./lane-commands.ts");
        await holdLane(lane, action, options);
      });
  }
  admin(lanes, "skip")
    .description("make the event at a paused lane's cursor a dead letter, so that the lane can go on behind it")
    .argument("<lane>", "tenant/partition/sink, as in the list")
    .addArgument(new Argument("<sequence>", "the lane's cursor").argParser(wholeNumber({ min: 0, max: 1e15 })))
    .requiredOption("--reason <text>", "why")
    .addHelpText(
      "after",
      examples(
        `pulsegate lanes skip demo/0/raw 17 --reason "crashes the sink"`,
        "pulsegate lanes skip demo/0/raw 17 --reason poison --json",
      ),
    )
    .action(async (lane: string, sequence: number, options) => {
      const { skipPosition } = await import("./lane-commands.ts");
      await skipPosition(lane, sequence, options);
    });
  admin(lanes, "drop")
    .description("give up what a lane keeps whose sink is gone from the configuration; asks before it does")
    .argument("<lane>", "tenant/partition/sink, as in the list")
    .option(...YES)
    .addHelpText(
      "after",
      examples("pulsegate lanes drop demo/0/old_sink", "pulsegate lanes drop demo/0/old_sink --yes"),
    )
    .action(async (id: string, options) => {
      const { dropLane } = await import("./lane-commands.ts");
      await dropLane(id, options);
    });
  admin(lanes, "reset")
    .description("accept that the log's backend (Redis) lost what it held; lanes go on behind what is gone")
    .option("--confirm", "do not ask")
    .addHelpText("after", examples("pulsegate lanes reset", "pulsegate lanes reset --confirm"))
    .action(async (options) => {
      const { resetLanes } = await import("./lane-commands.ts");
      await resetLanes(options);
    });
}

function addLedger(program: Command): void {
  admin(program, "ledger")
    .description("account for every event: accepted = delivered + filtered + dead + erased + pending")
    .option(...TENANT)
    .option("--audit", "count anew from the log itself, and compare")
    .addHelpText("after", examples("pulsegate ledger", "pulsegate ledger --tenant demo --audit"))
    .action(async (options) => {
      const { showLedger } = await import("./lane-commands.ts");
      await showLedger(options);
    });
}

function addStorage(program: Command): void {
  admin(program, "storage")
    .description("tell what the log takes up, and which tenants' events are how much of it")
    .option(...TENANT)
    .addHelpText("after", examples("pulsegate storage", "pulsegate storage --tenant demo --json"))
    .action(async (options) => {
      const { showStorage } = await import("./storage-command.ts");
      await showStorage(options);
    });
}

function addTop(program: Command): void {
  admin(program, "top")
    .description("watch tenants and lanes: what comes in, what is refused, who is behind and why")
    .addOption(new Option("--sort <column>", "what comes first").choices(SORTS).default("backlog"))
    .option("--interval <seconds>", "time between two looks", wholeNumber({ min: 1, max: 3600 }), 2)
    .addHelpText("after", examples("pulsegate top --sort oldest", "pulsegate top --json --interval 10"))
    .action(async ({ interval, ...options }) => {
      const { showTop } = await import("./top-command.ts");
      await showTop({ ...options, intervalSeconds: interval });
    });
}

function addAudit(program: Command): void {
  admin(program, "audit")
    .description("tell who changed what, the newest first")
    .option(...TENANT)
    .option("--limit <number>", "most per page", wholeNumber({ min: 1, max: 500 }), 50)
    .option("--after <id>", "go on behind this one")
    .addHelpText("after", examples("pulsegate audit", "pulsegate audit --tenant demo --json"))
    .action(async (options) => {
      const { listAudit } = await import("./running-config-commands.ts");
      await listAudit(options);
    });
}

/** What the `config` group offers on the running configuration. */
export function addRunningConfig(config: Command): void {
  admin(config, "revisions")
    .description("list the revisions whose text is kept, and which of them runs")
    .addHelpText("after", examples("pulsegate config revisions", "pulsegate config revisions --json"))
    .action(async (options) => {
      const { listRevisions } = await import("./running-config-commands.ts");
      await listRevisions(options);
    });
  admin(config, "show")
    .description("show a revision's text, secrets masked")
    .addArgument(new Argument("[number]", "the revision; the running one by default").argParser(revisionNumber))
    .addHelpText("after", examples("pulsegate config show", "pulsegate config show 7"))
    .action(async (number: number | undefined, options) => {
      const { showRevision } = await import("./running-config-commands.ts");
      await showRevision(number, options);
    });
  admin(config, "diff")
    .description("compare two revisions, secrets masked")
    .addArgument(new Argument("<from>", "the older revision").argParser(revisionNumber))
    .addArgument(new Argument("[to]", "the newer one; the running one by default").argParser(revisionNumber))
    .addHelpText("after", examples("pulsegate config diff 6", "pulsegate config diff 5 7 --json"))
    .action(async (from: number, to: number | undefined, options) => {
      const { diffRevisions } = await import("./running-config-commands.ts");
      await diffRevisions(from, to, options);
    });
  admin(config, "apply")
    .description("make a file the running configuration; it stays until PulseGate's own file changes")
    .argument("<file>", "the configuration")
    .option(...YES)
    .addHelpText("after", examples("pulsegate config apply new.yaml", "pulsegate config apply new.yaml --yes"))
    .action(async (file: string, options) => {
      const { applyConfig } = await import("./running-config-commands.ts");
      await applyConfig(file, options);
    });
  admin(config, "rollback")
    .description("make an older revision's text run again, as a new revision")
    .addArgument(new Argument("<number>", "the older revision").argParser(revisionNumber))
    .option(...YES)
    .addHelpText("after", examples("pulsegate config rollback 6", "pulsegate config rollback 6 --yes"))
    .action(async (to: number, options) => {
      const { rollBack } = await import("./running-config-commands.ts");
      await rollBack(to, options);
    });
}

/** `completion`: a script for a shell. */
export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a script that lets a shell complete commands and options")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      examples(
        "pulsegate completion bash > ~/.local/share/bash-completion/completions/pulsegate",
        "pulsegate completion fish > ~/.config/fish/completions/pulsegate.fish",
      ),
    )
    .action(async (shell: "bash" | "zsh" | "fish") => {
      const { printCompletion } = await import("./completion.ts");
      printCompletion(program, shell);
    });
}
