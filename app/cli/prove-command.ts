import { AdminClient, type AdminOptions, pathOf } from "./admin-client.ts";
import { EXIT, Failure } from "./failure.ts";
import { findInstance } from "./instance.ts";
import { interruption } from "./interruption.ts";
import { printJson, printLine, printNote } from "./print.ts";
import { Aggressors } from "./prove/aggressors.ts";
import { AGGRESSORS } from "./prove/kinds.ts";
import { prove, type ProofResult } from "./prove/proof.ts";
import { renderProof } from "./prove/render.ts";
import { trialTenants } from "./prove/tenants.ts";
import { Victim } from "./prove/victim.ts";

export interface ProveOptions extends AdminOptions {
  readonly url?: string;
  readonly rate: number;
  readonly windowMs: number;
  readonly rounds: number;
  readonly doorMax: number;
  readonly deliveryMax: number;
  readonly jainMin: number;
  readonly oneTenant?: boolean;
}

/** For what a round takes beside its windows: draining what an aggressor left behind. */
const SLACK_MS = 40_000;

/** `prove fairness`: tells whether the running PulseGate keeps one tenant from harming another. The exit code. */
export async function proveFairness(options: ProveOptions): Promise<number> {
  const url = options.url ?? (await findInstance(options.data))?.dataUrl;
  if (url === undefined || !URL.canParse(url)) {
    const next = "give --url or set PULSEGATE_URL: the data port of the same PulseGate";
    throw new Failure(url === undefined ? "no address to send events to" : `${JSON.stringify(url)} is no address`, {
      exitCode: EXIT.usage,
      next,
    });
  }
  const interrupted = interruption();
  const { signal } = interrupted;
  const victim = await Victim.start();
  const aggressors = await Aggressors.start();
  try {
    const result = await onTrial(options, { url, victim, aggressors, signal });
    if (options.json === true) printJson(result);
    else printLine(renderProof(result));
    return result.passed ? EXIT.done : EXIT.failed;
  } catch (error) {
    if (signal.aborted) return EXIT.interrupted;
    throw error;
  } finally {
    interrupted.release();
    victim.sink.close();
    await aggressors.stop();
  }
}

interface Parts {
  readonly url: string;
  readonly victim: Victim;
  readonly aggressors: Aggressors;
  readonly signal: AbortSignal;
}

/** With tenants that are gone afterwards, whatever happens here. */
async function onTrial(options: ProveOptions, parts: Parts): Promise<ProofResult> {
  const { rate, windowMs, rounds, doorMax, deliveryMax, jainMin, oneTenant = false } = options;
  const client = await AdminClient.find(options);
  const tenants = trialTenants({
    victimSink: parts.victim.sink.url,
    aggressorSink: parts.aggressors.sinkUrl,
    oneTenant,
  });
  const longestMs = (1 + Object.keys(AGGRESSORS).length * rounds) * (2 * windowMs + SLACK_MS);
  const body = { tenants: tenants.config, ttl_seconds: Math.ceil(longestMs / 1_000) };
  const { id } = await client.post<{ id: string }>("/trials", { body });
  try {
    const limits = { doorMax, deliveryMax, jainMin };
    const onProgress = (what: string): void => printNote(what);
    return await prove({ ...parts, tenants, apart: !oneTenant, rate, windowMs, rounds, limits, onProgress });
  } finally {
    await client.send("DELETE", pathOf("trials", id), {});
  }
}
