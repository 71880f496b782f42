import type { LookupAddress } from "node:dns";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventOf } from "../../../tests/helpers/sink-events.ts";
import { contextOf } from "../../testing/events.ts";
import { startEndpoint } from "../../testing/endpoint.ts";
import { allowedBy, isAllowEntry, isPublic } from "./addresses.ts";
import { guardedLookup } from "./connector.ts";
import plugin from "./index.ts";

const REFUSED = [
  "0.0.0.0",
  "10.1.2.3",
  "100.64.0.1",
  "100.100.100.200",
  "127.0.0.1",
  "127.255.255.254",
  "168.63.129.16",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.0.1",
  "198.18.0.1",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::127.0.0.1",
  "::ffff:127.0.0.1",
  "::ffff:a9fe:a9fe",
  "::ffff:0:127.0.0.1",
  "0:0:0:0:0:ffff:10.0.0.1",
  "64:ff9b::127.0.0.1",
  "64:ff9b::a00:1",
  "64:ff9b::",
  "64:ff9b:1::1",
  "100::1",
  "2001::1",
  "2001:db8::1",
  "2002:7f00:1::1",
  "3fff::1",
  "5f00::1",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fe80::1%eth0",
  "fec0::1",
  "ff02::1",
  "localhost",
  "",
];

const PUBLIC = [
  "1.1.1.1",
  "8.8.8.8",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
  "128.0.0.0",
  "172.15.255.255",
  "172.32.0.0",
  "192.0.1.0",
  "223.255.255.255",
  "::ffff:8.8.8.8",
  "64:ff9b::8.8.8.8",
  "2001:4860:4860::8888",
  "2606:4700:4700::1111",
  "2a00:1450:4001::1",
];

describe("an address", () => {
  test.each(REFUSED)("%s is not public", (address) => {
    expect(isPublic(address)).toBe(false);
  });

  test.each(PUBLIC)("%s is public", (address) => {
    expect(isPublic(address)).toBe(true);
  });
});

describe("the allow-list", () => {
  const allowed = allowedBy(["10.1.0.0/16", "127.0.0.1", "fd00::/8", "Hooks.internal"]);

  test("lets its networks, addresses and names through, and no more", () => {
    for (const address of ["10.1.2.3", "127.0.0.1", "fd12::1", "::ffff:10.1.2.3"])
      expect(allowed.address(address)).toBe(true);
    for (const address of ["10.2.0.1", "127.0.0.2", "fe80::1", "hooks.internal", ""])
      expect(allowed.address(address)).toBe(false);
    expect(allowed.host("hooks.INTERNAL")).toBe(true);
    expect(allowed.host("x.hooks.internal")).toBe(false);
  });

  test("takes addresses, networks and names only", () => {
    for (const entry of ["10.0.0.0/8", "::1", "fd00::/8", "localhost", "a.b-c.example", "my_service"])
      expect(isAllowEntry(entry)).toBe(true);
    for (const entry of ["10.0.0.0/33", "10.0.0/8", "10.0.0.256", "::/129", "http://a", "a b", "", "*.a", "a:80"])
      expect(isAllowEntry(entry)).toBe(false);
  });
});

describe("a name", () => {
  /** What a name server answers, one after the other. */
  function lookupOf(...answers: string[][]) {
    const lookup = guardedLookup(allowedBy([]), (_host, _options, callback) => {
      const addresses = answers.shift() ?? [];
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
      );
    });
    return (all: boolean) =>
      new Promise<string | LookupAddress[]>((resolve, reject) => {
        lookup("hooks.example", { all }, (error, address) => (error === null ? resolve(address) : reject(error)));
      });
  }

  test("gives the connection the very addresses that were checked", async () => {
    const lookup = lookupOf(["1.1.1.1", "2606:4700::1"], ["1.1.1.1"]);
    expect(await lookup(true)).toEqual([
      { address: "1.1.1.1", family: 4 },
      { address: "2606:4700::1", family: 6 },
    ]);
    expect(await lookup(false)).toBe("1.1.1.1");
  });

  test("with one address that is not public is refused, wherever that one stands", async () => {
    const lookup = lookupOf(["1.1.1.1", "10.0.0.1"], ["::1", "1.1.1.1"]);
    for (const all of [true, false]) await expect(lookup(all)).rejects.toMatchObject({ code: "address_refused" });
  });

  test("is judged anew for each connection: one that turns to a private address is refused", async () => {
    const lookup = lookupOf(["1.1.1.1"], ["169.254.169.254"]);
    expect(await lookup(false)).toBe("1.1.1.1");
    await expect(lookup(false)).rejects.toMatchObject({ code: "address_refused" });
  });
});

describe("webhook_sink", () => {
  const secrets = [`whsec_${Buffer.alloc(32).toString("base64")}`];

  test("does not connect to a name that resolves to loopback, unless it is allowed", async () => {
    const endpoint = await startEndpoint();
    onTestFinished(() => endpoint.close());
    const url = `https://localhost:${endpoint.port}/`;
    const sink = plugin.create();
    await sink.init?.(plugin.config.parse({ url, secrets }));
    onTestFinished(() => sink.close?.());
    expect(await sink.send(eventOf(1), contextOf())).toMatchObject({
      type: "retry",
      code: "address_refused",
      unavailable: true,
      reason: expect.stringMatching(/^localhost resolves to (127\.0\.0\.1|::1), which is not a public address/),
    });
    await expect(sink.check?.(new AbortController().signal)).rejects.toMatchObject({ code: "address_refused" });
    expect(endpoint.connections).toBe(0);
  });

  test("does not connect to a literal address that its configuration did not check", async () => {
    const endpoint = await startEndpoint();
    onTestFinished(() => endpoint.close());
    const sink = plugin.create();
    const checked = plugin.config.parse({ url: "https://example.com/", secrets });
    await sink.init?.({ ...checked, url: `http://127.0.0.1:${endpoint.port}/` });
    onTestFinished(() => sink.close?.());
    expect(await sink.send(eventOf(1), contextOf())).toMatchObject({ code: "address_refused", unavailable: true });
    expect(endpoint.connections).toBe(0);
  });
});
