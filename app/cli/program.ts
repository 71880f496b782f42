import { Argument, Command, InvalidArgumentError, Option } from "commander";
import type { DevOptions } from "../dev.ts";
import type { StartOptions } from "../start.ts";
import { DATA_DIR_DEFAULT } from "./data-dir.ts";
import { SORTS } from "./top/rows.ts";

export interface ProgramOptions {
  readonly version: string;
  /** What `dev` and `start` end with becomes the process's exit code. */
  readonly onExitCode: (code: number) => void;
}

/** All commands. What they do is loaded when one is run, so that help is quick. */
export function createProgram(options: ProgramOptions): Command {
  const program = new Command("pulsegate")
    .description("Multi-tenant event ingest gateway: durable before the ack, delivered at least once, replayable.")
    .version(options.version)
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows the usage)");
  addServers(program, options);
  addConfig(program);
  addSend(program);
  addAdmin(program);
  addTop(program);
  addKeys(program);
  addPlugins(program);
  addSql(program);
  const exits = "0 done, 1 failed, 2 wrong usage, 3 could not reach PulseGate, 130 interrupted";
  return program.addHelpText("after", `\nExit codes: ${exits}.\n${examples("pulsegate dev", "pulsegate send --help")}`);
}

function examples(...commands: readonly string[]): string {
  return `\nExamples:\n${commands.map((command) => `  $ ${command}`).join("\n")}`;
}

const jsonOption = () => new Option("--json", "print data as JSON");
const dataOption = () => new Option("--data <dir>", "data folder of the dev instance").default(DATA_DIR_DEFAULT);
function wholeNumber({ min, max }: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

const portNumber = wholeNumber({ min: 0, max: 65_535 });

function addServers(program: Command, { onExitCode }: ProgramOptions): void {
  program
    .command("dev")
    .description("run everything on this machine: embedded log, PostgreSQL, a demo tenant with the key `demo`")
    .option("--config <file>", "configuration; keys may stand in plain text")
    .addOption(dataOption())
    .option("--port <number>", "port for events; 0 takes a free one", portNumber, 8080)
    .option("--ops-port <number>", "port for operations; 0 takes a free one", portNumber, 8081)
    .addOption(
      new Option("--database-url <url>", "use this PostgreSQL, not one of its own").env("PULSEGATE_DATABASE_URL"),
    )
    .addHelpText("after", examples("pulsegate dev", "pulsegate dev --port 9090 --data /tmp/try"))
    .action(async (options: DevOptions) => {
      const { runDev } = await import("../dev.ts");
      onExitCode(await runDev(options));
    });
  program
    .command("start")
    .description("run PulseGate with a configuration, for production")
    .requiredOption("--config <file>", "configuration")
    .addOption(new Option("--role <role>", "what this process does").choices(["all"]).default("all"))
    .addHelpText(
      "after",
      examples("pulsegate start --config pulsegate.yaml", "pulsegate start --config pulsegate.yaml --role all"),
    )
    .action(async (options: StartOptions) => {
      const { runStart } = await import("../start.ts");
      onExitCode(await runStart(options));
    });
}

const CONFIG_FILE_DEFAULT = "pulsegate.yaml";

interface ConfigFlags {
  readonly config?: string;
  readonly dev?: boolean;
  readonly json?: boolean;
}

interface ExplainFlags extends ConfigFlags {
  readonly event?: string;
  readonly tenant?: string;
}

function addConfig(program: Command): void {
  const config = program
    .command("config")
    .description("check, explain and describe configuration files")
    .addHelpText("after", examples("pulsegate config check pulsegate.yaml", "pulsegate config explain pulsegate.yaml"));
  const withFile = (name: string, description: string): Command =>
    config
      .command(name)
      .description(description)
      .addArgument(new Argument("[file]", "the file").default(CONFIG_FILE_DEFAULT))
      .option("--config <file>", "the same as the argument")
      .option("--dev", "as `pulsegate dev` reads it: keys in plain text are allowed")
      .addOption(jsonOption());
  withFile("check", "tell everything that is wrong with a file, with line, column and what to do")
    .addHelpText("after", examples("pulsegate config check pulsegate.yaml", "pulsegate config check --dev dev.yaml"))
    .action(async (file: string, flags: ConfigFlags) => {
      const { checkConfig } = await import("./config-commands.ts");
      await checkConfig({ ...flags, config: flags.config ?? file });
    });
  withFile(
    "explain",
    "show the settings in effect and where each comes from, secrets masked; or, with --event, what becomes of an event",
  )
    .option("--event <file>", "an event as it would be sent, or a line of a file_sink; - reads standard input")
    .option("--tenant <id>", "whose event it is, where the file has more than one tenant")
    .addHelpText(
      "after",
      examples("pulsegate config explain pulsegate.yaml", "pulsegate config explain --event event.json --tenant shop"),
    )
    .action(async (file: string, flags: ExplainFlags) => {
      const { explainConfig } = await import("./config-commands.ts");
      await explainConfig({ ...flags, config: flags.config ?? file });
    });
  config
    .command("schema")
    .description("print the JSON Schema of the file, for editors")
    .addHelpText("after", examples("pulsegate config schema > pulsegate.schema.json", "pulsegate config schema | less"))
    .action(async () => {
      const { printSchema } = await import("./config-commands.ts");
      printSchema();
    });
}

function addSend(program: Command): void {
  program
    .command("send")
    .description("send one event, or a file with one per line; an interrupted file goes on where it stopped")
    .argument("[json]", "the event")
    .option("--file <ndjson>", "a file with one event per line; - reads standard input")
    .addOption(new Option("--key <key>", "API key (default: the dev instance's)").env("PULSEGATE_KEY"))
    .addOption(new Option("--url <url>", "where PulseGate is (default: the dev instance)").env("PULSEGATE_URL"))
    .option("--type <type>", "event_type of events that do not name theirs")
    .addOption(dataOption())
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        `pulsegate send '{"event_type":"user_sign_up","user_id":"u_123"}'`,
        "pulsegate send --file events.ndjson",
      ),
    )
    .action(async (json: string | undefined, options) => {
      const { send } = await import("./send-command.ts");
      await send(json, options);
    });
}

function addAdmin(program: Command): void {
  const events = program
    .command("events")
    .description("follow events")
    .addHelpText("after", examples("pulsegate events get demo/0/42", "pulsegate events get --help"));
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
      const { getEvent } = await import("./admin-commands.ts");
      await getEvent(id, options);
    });
  addDeadLetters(program);
  const lanes = program
    .command("lanes")
    .description("look at lanes, drop those whose sink is gone")
    .addHelpText("after", examples("pulsegate lanes list", "pulsegate lanes drop demo/0/old_sink"));
  admin(lanes, "list")
    .description("list lanes with their place in the log")
    .option("--tenant <id>", "this tenant's only")
    .addHelpText("after", examples("pulsegate lanes list", "pulsegate lanes list --tenant demo --json"))
    .action(async (options) => {
      const { listLanes } = await import("./admin-commands.ts");
      await listLanes(options);
    });
  admin(lanes, "drop")
    .description("give up what a lane keeps whose sink is gone from the configuration; asks before it does")
    .argument("<lane>", "tenant/partition/sink, as in the list")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      examples("pulsegate lanes drop demo/0/old_sink", "pulsegate lanes drop demo/0/old_sink --yes"),
    )
    .action(async (id: string, options) => {
      const { dropLane } = await import("./admin-commands.ts");
      await dropLane(id, options);
    });
  admin(program, "ledger")
    .description("account for every event: accepted = delivered + filtered + dead + erased + pending")
    .option("--tenant <id>", "this tenant's only")
    .addHelpText("after", examples("pulsegate ledger", "pulsegate ledger --tenant demo --json"))
    .action(async (options) => {
      const { showLedger } = await import("./admin-commands.ts");
      await showLedger(options);
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

/** A command that asks a running PulseGate. */
function admin(parent: Command, name: string): Command {
  return parent.command(name).addOption(dataOption()).addOption(jsonOption());
}

function addDeadLetters(program: Command): void {
  const dlq = program
    .command("dlq")
    .description("look at dead letters: events that a lane gave up on")
    .addHelpText("after", examples("pulsegate dlq list --tenant demo", "pulsegate dlq show demo/0/raw/17"));
  admin(dlq, "list")
    .description("list dead letters, a page at a time")
    .option("--tenant <id>", "this tenant's only")
    .option("--sink <id>", "this sink's only")
    .option("--limit <number>", "most per page", wholeNumber({ min: 1, max: 500 }), 50)
    .option("--after <id>", "go on behind this one")
    .addHelpText("after", examples("pulsegate dlq list", "pulsegate dlq list --tenant demo --sink raw --json"))
    .action(async (options) => {
      const { listDeadLetters } = await import("./admin-commands.ts");
      await listDeadLetters(options);
    });
  admin(dlq, "show")
    .description("show one dead letter whole, its event byte for byte")
    .argument("<id>", "as in the list")
    .addHelpText("after", examples("pulsegate dlq show demo/0/raw/17", "pulsegate dlq show demo/0/raw/17 --json"))
    .action(async (id: string, options) => {
      const { showDeadLetter } = await import("./admin-commands.ts");
      await showDeadLetter(id, options);
    });
}

function addKeys(program: Command): void {
  const keys = program
    .command("keys")
    .description("make API keys")
    .addHelpText("after", examples("pulsegate keys create web", "pulsegate keys create mobile --json"));
  keys
    .command("create")
    .description("make a key: its text is shown once, its hash goes into the configuration")
    .argument("<id>", "a name for the key, unique within its tenant")
    .addOption(jsonOption())
    .addHelpText("after", examples("pulsegate keys create web", "pulsegate keys create mobile --json"))
    .action(async (id: string, options) => {
      const { createKey } = await import("./keys-command.ts");
      createKey(id, options);
    });
}

function addPlugins(program: Command): void {
  const plugins = program
    .command("plugins")
    .description("look at plugins, check them, make new ones")
    .addHelpText("after", examples("pulsegate plugins list", "pulsegate plugins new transform my_transform"));
  plugins
    .command("list")
    .description("list the plugins that a configuration may name")
    .option("--config <file>", "also those that this configuration brings")
    .addOption(jsonOption())
    .addHelpText("after", examples("pulsegate plugins list", "pulsegate plugins list --config pulsegate.yaml"))
    .action(async (options) => {
      const { listPlugins } = await import("./plugin-commands.ts");
      await listPlugins(options);
    });
  plugins
    .command("show")
    .description("show a plugin's options, defaults and secrets, and an example")
    .argument("<name>", "a built-in plugin, a file (./plugins/mine.ts) or a package")
    .addOption(jsonOption())
    .addHelpText("after", examples("pulsegate plugins show postgres_sink", "pulsegate plugins show ./plugins/mine.ts"))
    .action(async (name: string, options) => {
      const { showPlugin } = await import("./plugin-commands.ts");
      await showPlugin(name, options);
    });
  plugins
    .command("check")
    .description("load a plugin, try its promises and run its tests; with --config also the connection of each sink")
    .argument("[name]", "a built-in plugin, a file or a package (default: each that the configuration names)")
    .option("--config <file>", "a configuration that uses it")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples("pulsegate plugins check ./plugins/mine.ts", "pulsegate plugins check --config pulsegate.yaml"),
    )
    .action(async (name: string | undefined, options) => {
      const { checkPlugins } = await import("./plugin-check.ts");
      await checkPlugins(name, options);
    });
  plugins
    .command("new")
    .description("make a folder with a plugin that works: module, options, README, tests")
    .addArgument(new Argument("<kind>", "what it does").choices(["transform", "sink"]))
    .argument("<name>", "its name, also the folder's")
    .addHelpText(
      "after",
      examples("pulsegate plugins new transform my_transform", "pulsegate plugins new sink my_sink"),
    )
    .action(async (kind: "transform" | "sink", name: string) => {
      const { newPlugin } = await import("./plugin-new.ts");
      newPlugin(kind, name);
    });
}

function addSql(program: Command): void {
  program
    .command("sql")
    .description("run SQL against the dev database")
    .argument("<statement>", "SQL")
    .addOption(dataOption())
    .option("--database-url <url>", "another database")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(`pulsegate sql "SELECT * FROM events_raw"`, `pulsegate sql "SELECT count(*) FROM events_raw" --json`),
    )
    .action(async (statement: string, options) => {
      const { runSql } = await import("./sql-command.ts");
      await runSql(statement, options);
    });
}
