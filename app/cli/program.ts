import { Argument, Command, Option } from "commander";
import type { DevOptions } from "../dev.ts";
import { ROLES } from "../roles.ts";
import type { StartOptions } from "../start.ts";
import { dataOption, examples, jsonOption, wholeNumber } from "./options.ts";
import { addAdmin, addCompletion, addRunningConfig } from "./program-admin.ts";
import { addProve } from "./program-prove.ts";

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
  addProve(program, options);
  addPlugins(program);
  addSql(program);
  addCompletion(program);
  const exits = "0 done, 1 failed, 2 wrong usage, 3 could not reach PulseGate, 130 interrupted";
  return program.addHelpText("after", `\nExit codes: ${exits}.\n${examples("pulsegate dev", "pulsegate send --help")}`);
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
    .addOption(new Option("--log <url>", "keep the log in this Redis, not in the data folder").env("PULSEGATE_LOG_URL"))
    .addHelpText("after", examples("pulsegate dev", "pulsegate dev --port 9090 --data /tmp/try"))
    .action(async (options: DevOptions) => {
      const { runDev } = await import("../dev.ts");
      onExitCode(await runDev(options));
    });
  program
    .command("start")
    .description("run PulseGate with a configuration, for production")
    .requiredOption("--config <file>", "configuration")
    .addOption(new Option("--role <role>", "what this process does").choices(ROLES).default("all"))
    // Takes away what keeps lanes apart, so that a test can see the proof of fairness fail.
    .addOption(new Option("--lanes-in-line").hideHelp())
    .addHelpText(
      "after",
      examples("pulsegate start --config pulsegate.yaml", "pulsegate start --config pulsegate.yaml --role worker"),
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
    .description("check, explain and describe configuration files; list, compare and apply what runs")
    .addHelpText("after", examples("pulsegate config check pulsegate.yaml", "pulsegate config explain pulsegate.yaml"));
  addRunningConfig(config);
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
