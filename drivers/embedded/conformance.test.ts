import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { logConformance } from "../../tests/conformance/log.ts";
import { erasureConformance } from "../../tests/conformance/log-erasure.ts";
import type { LogUnderTest } from "../../tests/conformance/log-under-test.ts";
import type { ErasingLog, IngestionLog } from "../../core/ingestion/log.ts";
import { attachEmbeddedLog, type EmbeddedLog, openEmbeddedLog } from "./index.ts";
import { quietLogger, noMetrics, SteppedClock } from "./testing.ts";

const WINDOW_MS = 24 * 3_600_000;

async function open(folder: string, clock: SteppedClock, segmentBytes: number): Promise<LogUnderTest> {
  const log = await openEmbeddedLog({
    path: folder,
    clock,
    logger: quietLogger,
    metrics: noMetrics,
    windowMs: WINDOW_MS,
    segmentBytes,
  });
  return {
    log,
    windowMs: WINDOW_MS,
    advance: (ms) => clock.step(ms),
    async takeOver(slot) {
      for await (const held of (await log.claims("another")).held(new AbortController().signal)) {
        const claim = held.find((candidate) => candidate.slot === slot);
        if (claim !== undefined) return claim;
      }
      throw new Error(`slot ${slot} was not given`);
    },
    async reopen() {
      await log.close();
      return open(folder, clock, segmentBytes);
    },
    async close() {
      await log.close();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

// Once with all in one segment, once with segments and sidecars coming and going all the time.
for (const { name, segmentBytes } of [
  { name: "embedded", segmentBytes: 16 << 20 },
  { name: "embedded, small segments", segmentBytes: 1_200_000 },
]) {
  const openEmpty = async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
    return open(folder, new SteppedClock(), segmentBytes);
  };
  logConformance(name, openEmpty);
  erasureConformance(name, openEmpty);
}

// Appends by the owner, everything else as a worker thread has it.
const openEmptyAttached = async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "pulsegate-log-"));
  return openAttached(folder, new SteppedClock());
};
logConformance("embedded, attached", openEmptyAttached);
erasureConformance("embedded, attached", openEmptyAttached);

async function openAttached(folder: string, clock: SteppedClock): Promise<LogUnderTest> {
  const owned = await open(folder, clock, 1_200_000);
  const owner = owned.log as EmbeddedLog;
  const attached = await attachEmbeddedLog(structuredClone(owner.handle({ index: 0, count: 1 })));
  const log: IngestionLog & ErasingLog = {
    append: (entries) => owner.append(entries),
    probe: () => owner.probe(),
    knownStreams: () => owner.knownStreams(),
    trim: (stream, before) => owner.trim(stream, before),
    passOver: (lane, before, stamp) => owner.passOver(lane, before, stamp),
    storedBytes: (stream) => owner.storedBytes(stream),
    seekBytes: (stream, bytes) => owner.seekBytes(stream, bytes),
    diskUse: () => owner.diskUse(),
    erase: (stream, sequences, at) => owner.erase(stream, sequences, at),
    read: (stream, from, limits) => attached.read(stream, from, limits),
    arrivals: (slots, signal) => attached.arrivals(slots, signal),
    seek: (stream, time) => attached.seek(stream, time),
    bounds: (stream) => attached.bounds(stream),
    find: (tenantId, eventId) => attached.find(tenantId, eventId),
    claims: (workerId) => attached.claims(workerId),
    openLane: (lane, start) => attached.openLane(lane, start),
    loadLane: (lane) => attached.loadLane(lane),
    dropLane: (lane) => attached.dropLane(lane),
    lanes: (tenantId) => attached.lanes(tenantId),
    jobLanes: (tenantId) => attached.jobLanes(tenantId),
    commit: (commits) => attached.commit(commits),
    settlement: (lane, sequence) => attached.settlement(lane, sequence),
    deadLetters: (query) => attached.deadLetters(query),
    deadLetter: (lane, sequence) => attached.deadLetter(lane, sequence),
    deadLetterGroups: (filter) => attached.deadLetterGroups(filter),
    discard: (letters, stamp) => attached.discard(letters, stamp),
    amendment: (lane, sequence) => attached.amendment(lane, sequence),
    recount: (lane) => attached.recount(lane),
    control: attached.control,
    async close() {
      await attached.close();
      await owner.close();
    },
  };
  return {
    ...owned,
    log,
    async reopen() {
      await log.close();
      return openAttached(folder, clock);
    },
    async close() {
      await log.close();
      await owned.close();
    },
  };
}
