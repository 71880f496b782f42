import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SinkTarget } from "../../testing/sink.ts";

/** A file in a folder of its own, which can be taken away. */
export async function fileTarget(): Promise<SinkTarget> {
  const folder = await mkdtemp(join(tmpdir(), "pulsegate-file-sink-"));
  const home = join(folder, "home");
  const path = join(home, "events.ndjson");
  await mkdir(home);
  return {
    config: { path },
    ordered: true,
    async stored() {
      const text = await readFile(path, "utf8").catch(() => "");
      const events = text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Stored]));
      return events.map(({ event_id: eventId, payload }) => ({ eventId, payload: JSON.stringify(payload) }));
    },
    async outage() {
      await rename(home, `${home}.away`);
      return () => rename(`${home}.away`, home);
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

interface Stored {
  readonly event_id: string;
  readonly payload: unknown;
}
