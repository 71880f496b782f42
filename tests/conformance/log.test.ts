import { openMemoryLog, type MemoryLog } from "../../drivers/memory/index.ts";
import { SimClock } from "../helpers/sim-clock.ts";
import { type LogUnderTest, logConformance } from "./log.ts";

const WINDOW_MS = 24 * 60 * 60 * 1000;

logConformance("memory", async () => {
  const clock = new SimClock();
  return underTest(openMemoryLog({ clock, windowMs: WINDOW_MS }), clock);
});

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
