import { type Command, InvalidArgumentError, Option } from "commander";
import { admin, examples, group, share, wholeNumber } from "./options.ts";
import { durationMs } from "./times.ts";

/** Commands that put a running PulseGate to the proof. */
export function addProve(program: Command, { onExitCode }: { readonly onExitCode: (code: number) => void }): void {
  const shown = ["pulsegate prove fairness", "pulsegate prove fairness --rounds 1 --window 2s"];
  const prove = group(program, "prove", "put a running PulseGate to the proof, with tenants of its own", shown);
  admin(prove, "fairness")
    .description(
      "measure a tenant at a steady rate alone, then beside one that floods, has a slow or dead sink, and so on; exit code 1 when it is harmed",
    )
    .addOption(new Option("--url <url>", "the data port (default: the dev instance's)").env("PULSEGATE_URL"))
    .option("--rate <number>", "events per second of the tenant", wholeNumber({ min: 1, max: 1_000 }), 50)
    .addOption(new Option("--window <duration>", "of each measurement").argParser(durationMs).default(5_000, "5s"))
    .option("--rounds <number>", "measurements of each kind; the median counts", wholeNumber({ min: 1, max: 100 }), 3)
    .option("--door-max <times>", "limit of the p99 at the door, in times of the quiet one", times, 1.5)
    .option("--delivery-max <times>", "limit of the p99 of delivery, in times of the quiet one", times, 2)
    .option("--jain-min <index>", "of what equal tenants get at overload", share, 0.98)
    // Takes away what keeps tenants apart, so that a test can see the proof fail.
    .addOption(new Option("--one-tenant").hideHelp())
    .addHelpText("after", examples("pulsegate prove fairness", "pulsegate prove fairness --rate 100 --json"))
    .action(async ({ window, ...options }) => {
      const { proveFairness } = await import("./prove-command.ts");
      onExitCode(await proveFairness({ ...options, windowMs: window }));
    });
}

function times(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 1) return value;
  throw new InvalidArgumentError("It must be a number of at least 1.");
}
