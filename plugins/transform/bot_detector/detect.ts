import { isbot } from "isbot";

/** Longer than any browser's; and no pattern is run over more. */
const LENGTH_MAX = 1_024;
/** A client has one of these. */
const SYSTEMS = [/Windows NT/, /Macintosh/, /iPhone|iPad/, /Android/, /X11; (?:Linux|CrOS|Ubuntu)/];

export type Reason = "user_agent" | "missing" | "malformed" | "contradiction" | "webdriver" | "honeypot";

/** What is odd about a user agent, by itself: no rates, no history. Undefined when nothing is. */
export function oddity(userAgent: unknown): Reason | undefined {
  if (userAgent === undefined || userAgent === null) return "missing";
  if (typeof userAgent !== "string") return "malformed";
  if (userAgent.trim() === "") return "missing";
  if (userAgent.length > LENGTH_MAX || isMalformed(userAgent)) return "malformed";
  if (isbot(userAgent)) return "user_agent";
  return contradicts(userAgent) ? "contradiction" : undefined;
}

/** Control characters, markup and unfilled templates come from tools, not from browsers; a name has letters. */
function isMalformed(userAgent: string): boolean {
  return /[\0-\x1f\x7f<>]|\$\{|\{\{|%s/.test(userAgent) || !/[A-Za-z]{2}/.test(userAgent);
}

function contradicts(userAgent: string): boolean {
  const systems = SYSTEMS.filter((system) => system.test(userAgent)).length;
  // Windows Phone called itself all of them, to be served pages for phones.
  if (systems > 1 && !userAgent.includes("Windows Phone")) return true;
  return /(?:Chrome|Safari|Firefox|Edg)\/\d/.test(userAgent) && !userAgent.startsWith("Mozilla/5.0 (");
}
