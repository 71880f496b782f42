import { writeSync } from "node:fs";
import { openEmbeddedLog } from "./index.ts";
import { entryOf, noMetrics, quietLogger, SteppedClock } from "./testing.ts";

/** Appends without end and prints each acknowledgement, until it is killed. */
const [folder, prefix] = process.argv.slice(2) as [string, string];
const log = await openEmbeddedLog({
  path: folder,
  clock: new SteppedClock(),
  logger: quietLogger,
  metrics: noMetrics,
  segmentBytes: 128 << 10,
});
let n = 0;
for (let client = 0; client < 16; client++) {
  void (async () => {
    for (;;) {
      const entry = entryOf(`tenant_${client % 3}`, `${prefix}-${n++}`, n % 900);
      const [result] = await log.append([entry]);
      if (result?.type !== "appended") throw new Error("not appended");
      print(`${entry.stream.tenantId} ${result.sequence} ${entry.eventId}\n`);
    }
  })();
}

/** A pipe that is full for now is no reason to die before the kill. */
function print(line: string): void {
  for (;;) {
    try {
      writeSync(1, line);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}
