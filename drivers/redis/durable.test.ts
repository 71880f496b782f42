import { describe, expect, it } from "vitest";
import { errorOf, type Reply, Script, type Server } from "./client.ts";
import { DurableWriter, type Servers } from "./durable.ts";

const SCRIPT = new Script("return 1");
const KEYS = ["{pg:1}:id", "{pg:1}:streams"];

/** A server that answers as it is told, in turn; what is not told of is "OK". */
class FakeServer implements Server {
  cuts = 0;
  readonly sent: string[] = [];
  readonly answers: Array<Reply | Error | Promise<Reply>> = [];
  readonly raw = {
    callBuffer: async (command: string, ...args: unknown[]) => {
      this.sent.push(command === "WAIT" ? `WAIT ${String(args[0])}` : command);
      const answer = this.answers.shift() ?? (command === "WAIT" ? 1 : Buffer.from("OK"));
      if (answer instanceof Error) throw answer;
      return answer;
    },
    asking: async () => {
      this.sent.push("ASKING");
      return "OK";
    },
  } as unknown as Server["raw"];
}

interface FakeServers {
  owner: FakeServer;
  /** Who has the owner's place, as others tell when they are asked. */
  readonly heir?: FakeServer;
  readonly others?: Record<string, FakeServer>;
}

/** One server has all keys; others are known by address. */
function writerOf(servers: FakeServers) {
  const client: Servers = {
    serverOf: () => servers.owner,
    serverAt: (address) => servers.others?.[address],
    refresh: async () => void (servers.owner = servers.heir ?? servers.owner),
    call: async () => 1,
    run: async () => Buffer.from("without"),
    translated: errorOf,
  };
  return new DurableWriter(
    client,
    () => ({ synced: false, replicas: 1 }),
    () => undefined,
  );
}

describe("a write that waits for replicas", () => {
  it("is confirmed by the server that has done it", async () => {
    const owner = new FakeServer();
    expect(String(await writerOf({ owner }).run(SCRIPT, KEYS, []))).toBe("OK");
    expect(owner.sent).toEqual(["EVALSHA", "WAIT 1"]);
  });

  it("goes where ASK points, and there alone with the word that it knows", async () => {
    const [owner, other] = [new FakeServer(), new FakeServer()];
    owner.answers.push(new Error("ASK 7 10.0.0.2:6379"));
    await writerOf({ owner, others: { "10.0.0.2:6379": other } }).run(SCRIPT, KEYS, []);
    expect(owner.sent).toEqual(["EVALSHA"]);
    expect(other.sent).toEqual(["ASKING", "EVALSHA", "WAIT 1"]);
  });

  it.each(["TRYAGAIN Multiple keys", "CLUSTERDOWN The cluster is down", "MOVED 7 10.0.0.2:6379"])(
    "is asked for again after %s: nothing was done",
    async (refusal) => {
      const owner = new FakeServer();
      owner.answers.push(new Error(refusal));
      await writerOf({ owner }).run(SCRIPT, KEYS, []);
      expect(owner.sent).toEqual(["EVALSHA", "EVALSHA", "WAIT 1"]);
    },
  );

  it("asks others whose the place is of a server that says that the cluster is down", async () => {
    const [owner, heir] = [new FakeServer(), new FakeServer()];
    owner.answers.push(new Error("CLUSTERDOWN The cluster is down"));
    await writerOf({ owner, heir }).run(SCRIPT, KEYS, []);
    expect(owner.sent).toEqual(["EVALSHA"]);
    expect(heir.sent).toEqual(["EVALSHA", "WAIT 1"]);
  });

  it("sends the text to a server that does not know the script", async () => {
    const owner = new FakeServer();
    owner.answers.push(new Error("NOSCRIPT No matching script"));
    await writerOf({ owner }).run(SCRIPT, KEYS, []);
    expect(owner.sent).toEqual(["EVALSHA", "EVAL", "WAIT 1"]);
  });

  it.each(["Connection is closed.", "Command timed out", "OOM command not allowed", "READONLY You can't write"])(
    "is sent once when the answer is %s",
    async (fault) => {
      const owner = new FakeServer();
      owner.answers.push(new Error(fault));
      await expect(writerOf({ owner }).run(SCRIPT, KEYS, [])).rejects.toMatchObject({ name: "PulseGateError" });
      expect(owner.sent).toEqual(["EVALSHA"]);
    },
  );

  it("is of unknown outcome when too few replicas have it in time", async () => {
    const owner = new FakeServer();
    owner.answers.push(Buffer.from("OK"), 0);
    await expect(writerOf({ owner }).run(SCRIPT, KEYS, [])).rejects.toThrow("0 of 1 replicas have it in time");
  });

  it("is not confirmed by an answer over another connection", async () => {
    const owner = new FakeServer();
    const { promise, resolve } = Promise.withResolvers<Reply>();
    owner.answers.push(Buffer.from("first"), promise, Buffer.from("second"));
    const writer = writerOf({ owner });
    const first = writer.run(SCRIPT, KEYS, []);
    await expect.poll(() => owner.sent).toEqual(["EVALSHA", "WAIT 1"]);
    const second = writer.run(SCRIPT, KEYS, []);
    await expect.poll(() => owner.sent).toEqual(["EVALSHA", "WAIT 1", "EVALSHA"]);
    await new Promise((done) => setImmediate(done));
    owner.cuts++;
    resolve(1);
    expect(String(await first)).toBe("first");
    await expect(second).rejects.toThrow("The connection to Redis was cut; the outcome is unknown");
  });

  it("shares the question with others that were done while the last was answered", async () => {
    const owner = new FakeServer();
    const { promise, resolve } = Promise.withResolvers<Reply>();
    owner.answers.push(1, promise);
    const writer = writerOf({ owner });
    const first = writer.run(SCRIPT, KEYS, []);
    await expect.poll(() => owner.sent).toEqual(["EVALSHA", "WAIT 1"]);
    const others = Array.from({ length: 5 }, () => writer.run(SCRIPT, KEYS, []));
    await expect.poll(() => owner.sent.length).toBe(7);
    await new Promise((done) => setImmediate(done));
    resolve(1);
    await Promise.all([first, ...others]);
    expect(owner.sent.filter((command) => command === "WAIT 1")).toHaveLength(2);
  });
});
