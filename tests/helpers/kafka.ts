import { spawn, spawnSync, type SpawnSyncReturns } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Admin, type Message } from "@platformatic/kafka";
import { configure, recordsOf } from "../../plugins/sink/kafka_sink/conformance.ts";
import { freePorts } from "./free-ports.ts";
import { freezeProcess } from "./freeze.ts";

const POM = join(import.meta.dirname, "kafka/pom.xml");
const CHECKSUMS = join(import.meta.dirname, "kafka/jars.sha256");
const CACHE = resolve(import.meta.dirname, "../../node_modules/.cache/pulsegate-kafka");
const JVM = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=INFO"];
const READY = "Kafka Server started";

export interface TestKafka {
  /** The broker without anything in between. */
  readonly port: number;
  /** Where the proxy's connections are to go. Clients that come through it are told its own address. */
  readonly proxiedPort: number;
  /** With TLS; its certificate is for `localhost`. */
  readonly tlsPort: number;
  /** With a password (SASL PLAIN): `app`, `app-secret`. */
  readonly saslPort: number;
  createTopic(topic: string, options?: { partitions?: number; configs?: Record<string, string> }): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
  configure(topic: string, name: string, value: string): Promise<void>;
  /** All records, in order within each partition. */
  records(topic: string): Promise<Message[]>;
  /** Stops the process where it stands, or lets it go on. */
  freeze(frozen: boolean): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A real broker (one node that is broker and controller) on free loopback ports, from Maven Central's jars: Java and Maven
 * must be there. `proxyPort`: of the proxy in front of `proxiedPort`. Start one in `beforeAll`, stop it in `afterAll`.
 */
export async function startTestKafka({ proxyPort }: { readonly proxyPort?: number } = {}): Promise<TestKafka> {
  const jars = await jarsFolder();
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-kafka-"));
  const [port, proxiedPort, tlsPort, saslPort, controllerPort] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const ports = { port, proxiedPort, tlsPort, saslPort, controllerPort, advertised: proxyPort ?? proxiedPort };
  const properties = join(folder, "server.properties");
  await writeKeystore(folder);
  await writeFile(properties, serverProperties(folder, ports));
  const java = [...JVM, "-cp", join(jars, "*")];
  // A dash in front would make it an option.
  const id = Buffer.from(randomUUID().replaceAll("-", ""), "hex").toString("base64url").replace(/^-/, "a");
  const format = spawnSync("java", [...java, "kafka.tools.StorageTool", "format", "-t", id, "-c", properties]);
  if (format.status !== 0) throw new Error(`formatting Kafka's folder failed: ${whyOf(format)}`);
  const child = spawn("java", [...java, "kafka.Kafka", properties], { stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async () => {
    process.off("exit", kill);
    if (child.exitCode === null && child.signalCode === null) {
      kill();
      await once(child, "exit");
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  let said = "";
  const { promise: ready, resolve: isReady, reject } = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (piece: Buffer) => {
      said = (said + piece.toString()).slice(-8_192);
      if (said.includes(READY)) isReady();
    });
  child.once("exit", () => reject(new Error(`Kafka ended: ${said}`)));
  await ready.catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const base = { clientId: "test", bootstrapBrokers: [`127.0.0.1:${port}`], retries: 20, retryDelay: 200 };
  const admin = new Admin(base);
  return {
    port,
    proxiedPort,
    tlsPort,
    saslPort,
    async createTopic(topic, { partitions = 1, configs = {} } = {}) {
      const list = Object.entries(configs).map(([name, value]) => ({ name, value }));
      await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: list });
    },
    async deleteTopic(topic) {
      await admin.deleteTopics({ topics: [topic] });
    },
    configure: (topic, name, value) => configure(admin, { topic, name, value }),
    records: (topic) => recordsOf(admin, { ...base, topic }),
    freeze: (frozen) => freezeProcess(child, frozen),
    async stop() {
      await admin.close().catch(() => {});
      await stop();
    },
  };
}

interface Ports {
  readonly port: number;
  readonly proxiedPort: number;
  readonly tlsPort: number;
  readonly saslPort: number;
  readonly controllerPort: number;
  /** What clients of the proxied listener are told. */
  readonly advertised: number;
}

function serverProperties(folder: string, ports: Ports): string {
  const { port, proxiedPort, tlsPort, saslPort, controllerPort, advertised } = ports;
  const own = `DIRECT://127.0.0.1:${port},PROXIED://127.0.0.1:${proxiedPort},ENCRYPTED://127.0.0.1:${tlsPort},PASSWORD://127.0.0.1:${saslPort}`;
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=${own},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=DIRECT://127.0.0.1:${port},PROXIED://127.0.0.1:${advertised},ENCRYPTED://localhost:${tlsPort},PASSWORD://127.0.0.1:${saslPort}
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,ENCRYPTED:SSL,PASSWORD:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=DIRECT
listener.name.encrypted.ssl.keystore.type=PEM
listener.name.encrypted.ssl.keystore.location=${join(folder, "keystore.pem")}
listener.name.password.sasl.enabled.mechanisms=PLAIN
listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_app="app-secret";
log.dirs=${join(folder, "data")}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
log.cleaner.dedupe.buffer.size=4194304
`;
}

async function writeKeystore(folder: string): Promise<void> {
  const testdata = resolve(import.meta.dirname, "../../plugins/sink/postgres_sink/testdata");
  const parts = await Promise.all(
    ["server.key", "server.pem", "ca.pem"].map((name) => readFile(join(testdata, name), "utf8")),
  );
  await writeFile(join(folder, "keystore.pem"), parts.join(""));
}

/** Kept between runs, beside the npm packages; whatever is in it has the checksums that the repository states. */
async function jarsFolder(): Promise<string> {
  const pinned = await readFile(CHECKSUMS, "utf8");
  const folder = join(CACHE, createHash("sha256").update(pinned).digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const fresh = await mkdtemp(join(CACHE, "fetching-"));
  const goal = [
    "-q",
    "-B",
    "-C",
    "-f",
    POM,
    "dependency:copy-dependencies",
    `-DoutputDirectory=${fresh}`,
    "-DincludeScope=runtime",
  ];
  const fetched = spawnSync("mvn", goal);
  if (fetched.status !== 0) throw new Error(`Kafka's jars can't be fetched: ${whyOf(fetched)}`);
  const actual = await checksumsOf(fresh);
  if (process.env["UPDATE_KAFKA_JARS"] === "1") await writeFile(CHECKSUMS, actual);
  else if (actual !== pinned) throw new Error(`Kafka's jars are not those of ${CHECKSUMS}`);
  // Another test file may have been quicker: then its folder is as good.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
  return folder;
}

function whyOf({ error, stdout, stderr }: SpawnSyncReturns<Buffer>): string {
  if (error === undefined) return `${stdout.toString()}${stderr.toString()}`;
  return `${error.message}; the tests need Java and Maven (Debian: apt-get install default-jre-headless maven)`;
}

async function checksumsOf(folder: string): Promise<string> {
  const names = (await readdir(folder)).sort();
  const lines = await Promise.all(
    names.map(
      async (name) =>
        `${createHash("sha256")
          .update(await readFile(join(folder, name)))
          .digest("hex")}  ${name}\n`,
    ),
  );
  return lines.join("");
}
