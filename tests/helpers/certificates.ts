import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Certificates {
  /** Of an authority made for this run, for `localhost` and 127.0.0.1: as server and as client. PEM texts. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The same as files. */
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
  remove(): Promise<void>;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] as const;
const run = promisify(execFile);

/** Needs the program `openssl`. */
export async function makeCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-tls-"));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => run("openssl", args);
  const authority = ["-keyout", file("ca.key"), "-out", file("ca.pem"), "-subj", "/CN=test authority", "-days", "2"];
  await openssl("req", "-x509", ...KEY, ...authority);
  const request = ["-keyout", file("one.key"), "-out", file("one.csr"), "-subj", "/CN=localhost"];
  await openssl("req", ...KEY, ...request);
  await writeFile(file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const signed = ["-in", file("one.csr"), "-out", file("one.pem"), "-days", "2", "-extfile", file("names")];
  await openssl("x509", "-req", ...signed, "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial");
  const files = { ca: file("ca.pem"), cert: file("one.pem"), key: file("one.key") };
  const [ca, cert, key] = await Promise.all([files.ca, files.cert, files.key].map((name) => readFile(name, "utf8")));
  return {
    ...{ ca: ca as string, cert: cert as string, key: key as string, files },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
