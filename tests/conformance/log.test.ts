import { openMemoryLog, type MemoryLog } from "../../drivers/memory/index.ts";
import { SimClock, seededRandom } from "../helpers/sim-clock.ts";
import { type FaultyLog, logFaultConformance } from "./log-faults.ts";
import { erasureConformance } from "./log-erasure.ts";
import { logConformance } from "./log.ts";
import type { LogUnderTest } from "./log-under-test.ts";

const WINDOW_MS = 24 * 60 * 60 * 1000;

const openEmpty = async () => {
  const clock = new SimClock();
  return underTest(openMemoryLog({ clock, windowMs: WINDOW_MS }), clock);
};
logConformance("memory", openEmpty);
erasureConformance("memory", openEmpty);

function underTest(log: MemoryLog, clock: SimClock): LogUnderTest {
  return {
    log,
    windowMs: WINDOW_MS,
    advance: (ms) => clock.stepWall(ms),
    takeOver: async (slot) => log.takeOver(slot),
    reopen: async () => {
      await log.close();
      return underTest(log.restart(), clock);
    },
    close: () => log.close(),
  };
}

logFaultConformance({ name: "memory", seeds: 150, open: faultyLog });

function faultyLog(seed: number): FaultyLog {
  const clock = new SimClock();
  const random = seededRandom(seed);
  let log = openMemoryLog({
    clock,
    random,
    faults: {
      delayMsMax: 10,
      failure: 0.1,
      unknown: 0.1,
      readFailure: 0.05,
      deadLetterFailure: 0.2,
      lostClaim: 0.1,
      lostClaimMsMax: 50,
      full: 0.02,
      fullMsMax: 100,
      keepInFlight: 0.5,
    },
  });
  return {
    get log() {
      return log;
    },
    random,
    pass: (ms) => clock.advance(ms),
    restart: () => {
      log = log.restart();
    },
    heal: () => log.setFaults(false),
  };
}
