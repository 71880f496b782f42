import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Proxy, startProxy } from "./proxy.ts";

let target: Server;
let proxy: Proxy;
let received: string;
let accepted: Socket;
const sockets: Socket[] = [];

beforeEach(async () => {
  received = "";
  target = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    accepted = socket;
    socket.on("error", () => {});
    socket.on("data", (piece: Buffer) => {
      received += piece.toString();
      socket.write(`re:${piece.toString()}`);
    });
    socket.on("end", () => socket.end("bye"));
  });
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
  proxy = await startProxy(() => ({ host: "127.0.0.1", port: (target.address() as AddressInfo).port }));
});

afterEach(async () => {
  await proxy.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  target.close();
  await once(target, "close");
});

it("passes bytes on in both directions, and the end of each", async () => {
  const client = await dial();
  expect(await ask(client, "a")).toBe("re:a");
  client.end();
  expect(String(await once(client, "data"))).toBe("bye");
  await once(client, "close");
});

it("cuts connections that are open and lets new ones through", async () => {
  const client = await dial();
  await ask(client, "a");
  const cut = outcome(client);
  proxy.cut();
  expect(await cut).toBe("ECONNRESET");
  expect(await ask(await dial(), "b")).toBe("re:b");
});

it("cuts after the target was written to and before it is heard", async () => {
  const client = await dial();
  await ask(client, "a");
  proxy.cutBeforeReply();
  const cut = outcome(client);
  client.write("b");
  expect(await cut).toBe("ECONNRESET");
  expect(received).toBe("ab");
});

it("refuses new connections on command", async () => {
  proxy.refuse(true);
  expect(await outcome(connect(proxy.port, "127.0.0.1"))).toBe("ECONNRESET");
  proxy.refuse(false);
  expect(await ask(await dial(), "a")).toBe("re:a");
});

it("holds bytes while stalled and passes them on afterwards, in order", async () => {
  const client = await dial();
  await ask(client, "a");
  proxy.stall(true);
  client.write("b");
  // Round trips past the proxy give what it might let through the time to arrive.
  const direct = connect((target.address() as AddressInfo).port, "127.0.0.1");
  sockets.push(direct);
  for (let i = 0; i < 5; i++) await ask(direct, "x");
  expect(received).toBe("axxxxx");
  proxy.stall(false);
  expect(await ask(client, "c", "re:b".length + "re:c".length)).toMatch(/re:b.*c$/);
});

it("delays each piece and keeps the order when the delay shrinks", async () => {
  const client = await dial();
  await ask(client, "a");
  proxy.delay(60);
  const startedAt = performance.now();
  client.write("b");
  await once(accepted, "data");
  // Timers may fire a millisecond early.
  expect(performance.now() - startedAt).toBeGreaterThan(50);
  proxy.delay(0);
  client.write("c");
  await once(accepted, "data");
  expect(received).toBe("abc");
});

it("closes one half: the client hears the end and can still write", async () => {
  const client = await dial();
  await ask(client, "a");
  proxy.halfClose();
  client.resume();
  await once(client, "end");
  const heard = once(accepted, "data");
  client.write("b");
  await heard;
  expect(received).toBe("ab");
});

async function dial(): Promise<Socket> {
  const client = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(client);
  await once(client, "connect");
  return client;
}

async function ask(client: Socket, text: string, lengthMin = 1): Promise<string> {
  client.write(text);
  let answer = "";
  while (answer.length < lengthMin) answer += String((await once(client, "data"))[0]);
  return answer;
}

/** The code of the error that ends the connection, or `closed`. */
async function outcome(client: Socket): Promise<string> {
  sockets.push(client);
  return new Promise((resolve) => {
    client.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    client.on("close", () => resolve("closed"));
  });
}
