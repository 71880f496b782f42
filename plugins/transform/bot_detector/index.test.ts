import { expect, test } from "vitest";
import { transformConformance } from "../../../tests/conformance/transform.ts";
import { oddity } from "./detect.ts";
import plugin from "./index.ts";

transformConformance({
  definition: plugin,
  golden: new URL("./golden/", import.meta.url),
  configs: [
    { field: "email", missing: "bot" },
    { field: "user.email", action: "drop", missing: "bot" },
    { field: "email", target: "email.bot" },
    {
      field: '["__proto__"].x',
      target: "__proto__.bot",
      missing: "bot",
      webdriver_field: "items[0]",
      honeypot_field: "length",
    },
  ],
});

const CHROME =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

test.each([
  CHROME,
  `${CHROME} Edg/126.0.2592.87`,
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15",
  "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063",
  "ShopApp/4.12 (iPhone; iOS 17.5; Scale/3.00)",
])("takes %s for a person", (userAgent) => expect(oddity(userAgent)).toBeUndefined());

test.each([
  ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "user_agent"],
  ["curl/8.5.0", "user_agent"],
  ["python-requests/2.32.3", "user_agent"],
  [CHROME.replace("Chrome/", "HeadlessChrome/"), "user_agent"],
  ["", "missing"],
  [" \t", "missing"],
  [undefined, "missing"],
  [null, "missing"],
  [42, "malformed"],
  [{ name: "Chrome" }, "malformed"],
  [`${CHROME}\r\nX-Injected: 1`, "malformed"],
  ["<script>alert(1)</script>", "malformed"],
  ["Mozilla/5.0 (${os})", "malformed"],
  ["()", "malformed"],
  [CHROME.padEnd(1_025, " x"), "malformed"],
  [CHROME.replace("Win64", "Macintosh"), "contradiction"],
  [
    "Mozilla/5.0 (Linux; Android 14; iPhone) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "contradiction",
  ],
  ["Windows NT 10.0 Chrome/126.0.0.0 Safari/537.36", "contradiction"],
])("takes %j for odd: %s", (userAgent, reason) => expect(oddity(userAgent)).toBe(reason));

test.each([
  [{ honeypot_field: "website" }, { website: "x" }, ["honeypot"]],
  [{ honeypot_field: "website" }, { website: "" }, undefined],
  [{ honeypot_field: "agree" }, { agree: false }, undefined],
  [{ webdriver_field: "wd" }, { wd: true }, ["webdriver"]],
  [{ webdriver_field: "wd" }, { wd: "true" }, undefined],
  [{ missing: "bot" }, {}, ["missing"]],
  [{}, {}, undefined],
])("with %j, %j has the reasons %j", async (options, payload, reasons) => {
  const transform = plugin.create();
  await transform.init?.(plugin.config.parse(options));
  const outcome = await transform.process({ payload } as never);
  if (outcome.type !== "ok") throw new Error(outcome.reason);
  expect((outcome.event.payload["bot"] as { reasons: unknown } | undefined)?.reasons).toEqual(reasons);
});
