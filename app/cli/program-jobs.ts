import { type Command, Option } from "commander";
import { admin, examples, group, several, share, wholeNumber } from "./options.ts";
import { pointInTime } from "./times.ts";

const rate = wholeNumber({ min: 1, max: 1_000_000_000 });
const ONE_TENANT = ["--tenant <id>", "the tenant; may be left out when there is only one"] as const;
const YES = ["--yes", "do not ask"] as const;

/** Options that say which dead letters. */
function letters(command: Command): Command {
  return command
    .option("--sink <id>", "this sink's only")
    .option("--stage <stage>", 'this stage\'s only, e.g. "sink postgres_sink"')
    .option("--fingerprint <id>", "this kind only, as in `pulsegate dlq groups`")
    .option("--type <type>", "this event type only");
}

function times(command: Command): Command {
  return command
    .option("--from <time>", "accepted at this time or later: RFC 3339, or 6h for six hours ago", pointInTime)
    .option("--to <time>", "accepted before this time", pointInTime);
}

export function addDeadLetters(program: Command): void {
  const shown = ["pulsegate dlq groups", "pulsegate dlq redrive --fingerprint 1b2c… --canary 10"];
  const dlq = group(
    program,
    "dlq",
    "look at dead letters, events that a lane gave up on; redrive or discard them",
    shown,
  );
  letters(times(admin(dlq, "list")))
    .description("list dead letters, a page at a time")
    .option("--tenant <id>", "this tenant's only")
    .option("--limit <number>", "most per page", wholeNumber({ min: 1, max: 500 }), 50)
    .option("--after <id>", "go on behind this one")
    .addHelpText("after", examples("pulsegate dlq list", "pulsegate dlq list --tenant demo --sink raw --json"))
    .action(async (options) => {
      const { listDeadLetters } = await import("./dlq-commands.ts");
      await listDeadLetters(options);
    });
  letters(times(admin(dlq, "groups")))
    .description("tell what goes wrong, how often and since when: dead letters counted by kind")
    .option("--tenant <id>", "this tenant's only")
    .addHelpText("after", examples("pulsegate dlq groups", "pulsegate dlq groups --tenant demo --from 6h --json"))
    .action(async (options) => {
      const { listGroups } = await import("./dlq-commands.ts");
      await listGroups(options);
    });
  admin(dlq, "show")
    .description("show one dead letter whole, its event byte for byte")
    .argument("<id>", "as in the list")
    .addHelpText("after", examples("pulsegate dlq show demo/0/raw/17", "pulsegate dlq show demo/0/raw/17 --json"))
    .action(async (id: string, options) => {
      const { showDeadLetter } = await import("./dlq-commands.ts");
      await showDeadLetter(id, options);
    });
  letters(times(admin(dlq, "redrive")))
    .description("deliver dead letters again, through today's transforms and routes; asks with the counts")
    .argument("[ids...]", "these alone; all that the options choose when there are none")
    .option(...ONE_TENANT)
    .option("--canary <number>", "so many first; the rest only if enough of them are delivered", rate)
    .option("--threshold <share>", "of the canary, at least so much must be delivered: above 0, up to 1", share, 1)
    .option("--rate <number>", "at most so many events a second", rate)
    .option(...YES)
    .addHelpText(
      "after",
      examples("pulsegate dlq redrive demo/0/raw/17", "pulsegate dlq redrive --sink raw --canary 10 --yes"),
    )
    .action(async (ids: string[], options) => {
      const { redrive } = await import("./dlq-commands.ts");
      await redrive(ids, options);
    });
  letters(times(admin(dlq, "discard")))
    .description("remove dead letters that nobody will redrive, for good; asks with the counts")
    .argument("[ids...]", "these alone; all that the options choose when there are none")
    .option(...ONE_TENANT)
    .option("--all", "all of the tenant's")
    .requiredOption("--reason <text>", "for the audit stream")
    .option(...YES)
    .addHelpText(
      "after",
      examples(
        `pulsegate dlq discard demo/0/raw/17 --reason "a test event"`,
        "pulsegate dlq discard --fingerprint 1b2c3d4e5f607182 --reason obsolete --yes",
      ),
    )
    .action(async (ids: string[], options) => {
      const { discard } = await import("./dlq-commands.ts");
      await discard(ids, options);
    });
}

export function addReplay(program: Command): void {
  const shown = ["pulsegate replay create --from 6h --start", "pulsegate replay list"];
  const replay = group(program, "replay", "deliver events of the log again, beside live traffic and below it", shown);
  times(admin(replay, "create"))
    .description("plan a replay: counts what it would deliver; --start asks, delivers and follows it")
    .option(...ONE_TENANT)
    .addOption(
      new Option("--kind <kind>", "backfill: a sink with what lies before its lane's start")
        .choices(["replay", "backfill"])
        .default("replay"),
    )
    .option("--type <type>", "this event type only; may be repeated", several)
    .option("--filter <cel>", "events for which this condition holds")
    .option("--sink <id>", "to this sink only; may be repeated", several)
    .option("--rate <number>", "at most so many events a second", rate)
    .option("--idle-share <share>", "of the time in which no live lane delivers: above 0, up to 1", share)
    .option("--start", "start it")
    .option(
      "--preview [examples]",
      "make no job: show what is different today from what was recorded",
      wholeNumber({ min: 0, max: 100 }),
    )
    .option(...YES)
    .addHelpText(
      "after",
      examples(
        "pulsegate replay create --from 6h --sink raw --start",
        `pulsegate replay create --from 2025-03-01T00:00:00Z --to 2025-03-02T00:00:00Z --filter 'event.event_type == "order_paid"' --preview`,
      ),
    )
    .action(async (options) => {
      const { createReplay } = await import("./replay-commands.ts");
      await createReplay(options);
    });
  addReplayLooks(replay);
  addReplayChanges(replay);
}

function addReplayLooks(replay: Command): void {
  admin(replay, "list")
    .description("list replays, redrives and backfills, the newest first")
    .option("--tenant <id>", "this tenant's only")
    .addHelpText("after", examples("pulsegate replay list", "pulsegate replay list --tenant demo --json"))
    .action(async (options) => {
      const { listJobs } = await import("./replay-commands.ts");
      await listJobs(options);
    });
  admin(replay, "show")
    .description("show a job whole")
    .argument("<id>", "as in the list")
    .addHelpText(
      "after",
      examples("pulsegate replay show replay-mfx1k2-0a1b", "pulsegate replay show redrive-mfx1k2-0a1b --json"),
    )
    .action(async (id: string, options) => {
      const { showJob } = await import("./replay-commands.ts");
      await showJob(id, options);
    });
  admin(replay, "watch")
    .description("follow a job to its end; Ctrl-C leaves the job as it is")
    .argument("<id>", "as in the list")
    .addHelpText(
      "after",
      examples("pulsegate replay watch replay-mfx1k2-0a1b", "pulsegate replay watch replay-mfx1k2-0a1b --json"),
    )
    .action(async (id: string, options) => {
      const { watch } = await import("./replay-commands.ts");
      await watch(id, options);
    });
}

const CHANGES = [
  ["pause", "let a job rest where it is; it holds across restarts"],
  ["resume", "let a paused job go on from where it stood"],
  ["cancel", "end a job; what it has delivered stays delivered"],
] as const;

function addReplayChanges(replay: Command): void {
  admin(replay, "start")
    .description("start a planned job and follow it to its end; asks with the counts")
    .argument("<id>", "as in the list")
    .option("--no-wait", "do not follow it")
    .option(...YES)
    .addHelpText(
      "after",
      examples(
        "pulsegate replay start replay-mfx1k2-0a1b",
        "pulsegate replay start replay-mfx1k2-0a1b --yes --no-wait",
      ),
    )
    .action(async (id: string, options) => {
      const { startJob } = await import("./replay-commands.ts");
      await startJob(id, options);
    });
  for (const [action, description] of CHANGES) {
    admin(replay, action)
      .description(description)
      .argument("<id>", "as in the list")
      .addHelpText(
        "after",
        examples(
          `pulsegate replay ${action} replay-mfx1k2-0a1b`,
          `pulsegate replay ${action} replay-mfx1k2-0a1b --json`,
        ),
      )
      .action(async (id: string, options) => {
        const { changeJob } = await import("./replay-commands.ts");
        await changeJob(id, action, options);
      });
  }
  admin(replay, "rate")
    .description("change how fast a job goes, also while it runs")
    .argument("<id>", "as in the list")
    .addOption(new Option("--rate <number>", "at most so many events a second").argParser(rate).conflicts("idleShare"))
    .option("--idle-share <share>", "of the time in which no live lane delivers: above 0, up to 1", share)
    .addHelpText(
      "after",
      examples(
        "pulsegate replay rate replay-mfx1k2-0a1b --rate 500",
        "pulsegate replay rate replay-mfx1k2-0a1b --idle-share 0.5",
      ),
    )
    .action(async (id: string, options) => {
      const { setRate } = await import("./replay-commands.ts");
      await setRate(id, options);
    });
}
