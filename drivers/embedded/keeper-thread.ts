import { parentPort, workerData } from "node:worker_threads";
import { realDisk } from "./disk.ts";
import { Keeper } from "./keeper.ts";
import { answer, type KeeperRequest, type KeeperThreadData } from "./keeper-client.ts";

const keeper = new Keeper({ ...(workerData as KeeperThreadData), disk: realDisk });

parentPort?.on("message", (request: KeeperRequest) => {
  parentPort?.postMessage(answer(keeper, request));
});
