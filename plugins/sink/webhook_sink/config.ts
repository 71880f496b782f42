import { isIP } from "node:net";
import { z } from "zod";
import { allowedBy, isAllowEntry, isPublic } from "./addresses.ts";
import { isSecret } from "./sign.ts";

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/i;
/** Visible characters, blanks between them. */
const HEADER_VALUE = /^[\x20-\x7e]{0,8192}$/;
/** Ours to set, or the connection's own. */
const RESERVED_HEADER =
  /^(webhook-.*|content-length|content-type|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|host|proxy-.*)$/i;

const header = z.string().regex(HEADER_VALUE, "must be one line of printable ASCII characters").meta({ secret: true });

/** Options of webhook_sink. Plain data: it is posted to worker threads. */
export const config = z
  .strictObject({
    url: z
      .string()
      .refine(isUrl, {
        error: "must be a URL like https://hooks.example.com/events, without user, password and fragment",
        // What follows looks into the URL.
        abort: true,
      })
      .meta({ secret: true, examples: ["https://hooks.example.com/events"] })
      .describe("Where each event is POSTed. Plain `http://` only to a host that `allow` names."),
    secrets: z
      .array(
        z
          .string()
          .refine(
            isSecret,
            "must be `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32)",
          )
          .meta({ secret: true }),
      )
      .min(1)
      .max(8)
      .meta({ secret: true, examples: [[`whsec_${"A".repeat(43)}=`]] })
      .describe(
        "Each signs every message, so that a receiver may have any of them: list old and new while you rotate.",
      ),
    body: z
      .enum(["event", "payload"])
      .default("event")
      .describe("What is sent: the whole event, or its payload alone, byte for byte as it came."),
    headers: z
      .record(z.string().refine(isOwnHeader, "is no header name, or one that the sink sets itself"), header)
      .default({})
      .meta({ secret: true })
      .describe("Further headers, e.g. `authorization`. Their values are kept secret."),
    concurrency: z
      .int()
      .min(1)
      .max(256)
      .default(16)
      .describe("Most requests at one time per worker thread. With 1, events that pass go out in their order."),
    timeout_ms: z
      .int()
      .min(1_000)
      .max(30_000)
      .default(15_000)
      .describe("One request is given up after so long. Keep it 6 s below the sink's `retry.timeout`."),
    allow: z
      .array(
        z.string().refine(isAllowEntry, {
          error: "must be an address, a network like 10.1.0.0/16, or a host name",
          abort: true,
        }),
      )
      .max(256)
      .default([])
      .describe("Addresses, networks and hosts that may be reached although they are not public."),
    ca_file: z
      .string()
      .min(1)
      .optional()
      .describe("A file with certificate authorities in PEM form, instead of Node's; read at the start."),
  })
  .superRefine(({ url, allow }, ctx) => {
    const { protocol, hostname } = new URL(url);
    const host = hostname.replace(/^\[(.+)\]$/, "$1");
    const allowed = allowedBy(allow);
    const isListed = allowed.host(host) || allowed.address(host);
    const problem = (message: string) => ctx.addIssue({ code: "custom", path: ["url"], message });
    if (isIP(host) !== 0 && !isPublic(host) && !isListed)
      problem(`${host} is not a public address; if this is meant, list it under \`allow\``);
    else if (protocol === "http:" && !isListed)
      problem(`must be https://; plain http:// is for hosts listed under \`allow\``);
  });

export type Config = z.output<typeof config>;

function isUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  return url.username === "" && url.password === "" && url.hash === "" && url.hostname !== "";
}

function isOwnHeader(name: string): boolean {
  return HEADER_NAME.test(name) && !RESERVED_HEADER.test(name);
}
