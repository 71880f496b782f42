import { decodeEvent } from "../../core/canonical/codec.ts";
import { PulseGateError } from "../../core/canonical/errors.ts";
import type { LogEntry, Position, ReadLimits, Stream, StreamBounds } from "../../core/ingestion/log.ts";
import { corrupt } from "./folder.ts";
import type { LogFiles } from "./files.ts";
import { BODY_PREFIX_BYTES, bodyPrefixAt, isBodyIntact } from "./segment-format.ts";
import { findStream, type OpenSidecar, readIndex } from "./sidecar-reader.ts";
import { INDEX_RECORD_BYTES } from "./sidecar.ts";
import { runContains, type Run, type SealedRun, type StreamState, type StreamTable } from "./streams.ts";
import type { SharedProgress } from "./shared.ts";
import type { TailCache } from "./tail-cache.ts";

/** Which segments there are, for this thread, now. */
export interface SegmentRange {
  /** The oldest that is stored. */
  readonly firstSegment: number;
  /** The streams' runs in memory begin behind this one. */
  readonly sidecarThrough: number;
}

export interface EntryPlace {
  readonly segment: number;
  readonly sequence: number;
  readonly bodyOffset: number;
  readonly bodyLength: number;
}

/** Frames this close together are read in one go; what lies between them is less than what is asked for. */
const GAP_BYTES_MAX = 512;
const READ_BYTES_MAX = 1 << 20;

export interface ReaderOptions {
  readonly files: LogFiles;
  readonly streams: StreamTable;
  readonly range: SegmentRange;
  readonly tail?: TailCache | undefined;
  readonly progress: Pick<SharedProgress, "scrubs">;
}

/** Reads a stream's entries by their places, without looking at any other stream's. */
export class StreamReader {
  private readonly files: LogFiles;
  private readonly streams: StreamTable;
  private readonly range: SegmentRange;
  private readonly tail: TailCache | undefined;
  private readonly progress: Pick<SharedProgress, "scrubs">;
  /** As of the last read; what the tail holds is older than the next change. */
  private scrubs = 0;
  private version = 0;

  constructor(options: ReaderOptions) {
    this.files = options.files;
    this.streams = options.streams;
    this.range = options.range;
    this.tail = options.tail;
    this.progress = options.progress;
  }

  async read(stream: Stream, from: number, limits: ReadLimits): Promise<LogEntry[]> {
    const state = this.streams.find(stream);
    if (state === undefined || from >= state.end || limits.entries <= 0) return [];
    return this.files.use(async () => this.fetch(await this.places(state, from, limits)));
  }

  /** Where one event lies; undefined when it is not stored. */
  async placeOf(stream: Stream, sequence: number): Promise<EntryPlace | undefined> {
    const state = this.streams.find(stream);
    if (state === undefined || sequence < 0 || sequence >= state.end) return undefined;
    const [place] = await this.files.use(() => this.places(state, sequence, { entries: 1, bytes: 1 }));
    return place?.sequence === sequence ? place : undefined;
  }

  async bounds(stream: Stream): Promise<StreamBounds> {
    const state = this.streams.find(stream);
    if (state === undefined) return { first: 0, end: 0 };
    const first = await this.files.use(() => this.firstOf(state));
    return { first, end: state.end };
  }

  private async firstOf(state: StreamState): Promise<number> {
    const sealed = await this.sealedRun(state, 0);
    return sealed?.first ?? state.runs[0]?.first ?? state.end;
  }

  /** The first position whose time is at or behind `receivedAt`. */
  async seek(stream: Stream, receivedAt: number): Promise<number> {
    const state = this.streams.find(stream);
    if (state === undefined) return 0;
    return this.files.use(async () => {
      let { low, high } = await this.seekSegment(state, receivedAt);
      while (low < high) {
        const middle = low + Math.floor((high - low) / 2);
        const [place] = await this.places(state, middle, { entries: 1, bytes: 1 });
        if (place === undefined || place.sequence >= high) high = middle;
        else if ((await this.timeAt(place)) < receivedAt) low = place.sequence + 1;
        else high = middle;
      }
      return low;
    });
  }
  /** Bounds of the position: segments tell their times, so most of a stream is passed over without a look at its events. */
  private async seekSegment(state: StreamState, receivedAt: number): Promise<{ low: number; high: number }> {
    const { firstSegment, sidecarThrough } = this.range;
    let low = firstSegment;
    let high = sidecarThrough + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.sidecarOf(middle)?.header.lastAt ?? 0) < receivedAt) low = middle + 1;
      else high = middle;
    }
    if (low <= sidecarThrough) {
      const run = await this.runIn(state, low);
      return run === undefined ? { low: 0, high: 0 } : { low: run.first, high: run.first + run.count };
    }
    const before = sidecarThrough < firstSegment ? undefined : await this.runIn(state, sidecarThrough);
    return { low: before === undefined ? await this.firstOf(state) : before.first + before.count, high: state.end };
  }

  /** Reads through what one tenant has in segments without sidecars; the newest event with this id. */
  async findUnsealed(
    tenantId: string,
    eventId: string,
  ): Promise<(Position & { readonly receivedAt: number }) | undefined> {
    for (const state of this.streams.tenant(tenantId)?.partitions.values() ?? []) {
      const first = state.runs[0]?.first;
      if (first === undefined) continue;
      const entries = await this.read(state.stream, first, {
        entries: state.end - first,
        bytes: Number.POSITIVE_INFINITY,
      });
      const found = entries.findLast((entry) => decodeEvent(entry.bytes).event_id === eventId);
      if (found !== undefined) return { stream: state.stream, sequence: found.sequence, receivedAt: found.receivedAt };
    }
    return undefined;
  }

  private async timeAt(place: EntryPlace): Promise<number> {
    const bytes = Buffer.allocUnsafe(BODY_PREFIX_BYTES);
    const reading = this.files.readAt(this.fileOf(place.segment), bytes, place.bodyOffset - BODY_PREFIX_BYTES);
    if (reading !== undefined) await reading;
    return bodyPrefixAt(bytes, BODY_PREFIX_BYTES).receivedAt;
  }

  /** Where the entries from `from` on lie, as far as the limits go. */
  private async places(state: StreamState, from: number, limits: ReadLimits): Promise<EntryPlace[]> {
    const places: EntryPlace[] = [];
    let next = from;
    let bytes = 0;
    while (next < state.end && places.length < limits.entries && bytes <= limits.bytes) {
      const before = places.length;
      const run = state.runs.find((candidate) => runContains(candidate, next));
      const wanted = limits.entries - places.length;
      if (run !== undefined) addFromRun(places, run, next, wanted, limits.bytes - bytes);
      else {
        const sealed = await this.sealedRun(state, next);
        const start =
          sealed === undefined
            ? state.runs.find((candidate) => candidate.first > next)?.first
            : Math.max(next, sealed.first);
        if (start === undefined) break;
        next = start;
        if (sealed === undefined) continue;
        await this.addFromSealed(places, sealed, next, wanted, limits.bytes - bytes);
        if (places.length === before) break;
      }
      for (let i = before; i < places.length; i++) bytes += (places[i] as EntryPlace).bodyLength;
      next = (places.at(-1)?.sequence ?? next - 1) + 1;
    }
    return places;
  }

  private async addFromSealed(
    places: EntryPlace[],
    run: SealedRun,
    from: number,
    wanted: number,
    bytesMax: number,
  ): Promise<void> {
    const sidecar = this.files.sidecar(run.segment);
    if (sidecar === undefined) return;
    const skip = from - run.first;
    const count = Math.min(run.count - skip, wanted);
    const index = await readIndex(sidecar, run, { skip, count }, this.files.readAt);
    let bytes = 0;
    for (let i = 0; i < count && bytes <= bytesMax; i++) {
      const bodyLength = index.readUInt32LE(i * INDEX_RECORD_BYTES + 4);
      places.push({
        segment: run.segment,
        sequence: from + i,
        bodyOffset: index.readUInt32LE(i * INDEX_RECORD_BYTES),
        bodyLength,
      });
      bytes += bodyLength;
    }
  }

  /**
   * The stream's entries in the first sealed segment that has some at or behind `sequence`. A reader
   * mostly goes on where it was; otherwise the segment is found by binary search over the sidecars,
   * each of which knows the ends of all streams.
   */
  private async sealedRun(state: StreamState, sequence: number): Promise<SealedRun | undefined> {
    const { firstSegment, sidecarThrough } = this.range;
    const last = state.lastSealed;
    if (
      last !== undefined &&
      state.lastSealedIn === this.files.version &&
      last.segment >= firstSegment &&
      sequence >= last.first &&
      sequence < last.first + last.count
    )
      return last;
    let low = firstSegment;
    let high = sidecarThrough + 1;
    let found: SealedRun | undefined;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const run = await this.runIn(state, middle);
      if (run === undefined || run.first + run.count <= sequence) low = middle + 1;
      else {
        found = run;
        high = middle;
      }
    }
    if (found === undefined || found.count > 0) {
      state.lastSealed = found;
      state.lastSealedIn = this.files.version;
    }
    if (found?.count !== 0) return found;
    // Only the trimmed past lies before this segment; look again from its first sequence on.
    return this.sealedRun(state, found.first);
  }

  private async runIn(state: StreamState, segment: number): Promise<SealedRun | undefined> {
    const sidecar = this.sidecarOf(segment);
    return sidecar === undefined ? undefined : findStream(sidecar, state, this.files.readAt);
  }

  private sidecarOf(segment: number): OpenSidecar | undefined {
    const sidecar = this.files.sidecar(segment);
    // Trimmed meanwhile: what lay there is no longer asked for.
    if (sidecar !== undefined || segment < this.range.firstSegment) return sidecar;
    throw corrupt(this.files.folder, segment, 0, "its sidecar (.idx) is missing or not intact");
  }

  /** Reads the bodies; neighbours in one go. */
  private async fetch(places: readonly EntryPlace[]): Promise<LogEntry[]> {
    if (this.progress.scrubs !== this.scrubs || this.files.version !== this.version) this.tail?.clear();
    this.version = this.files.version;
    this.scrubs = this.progress.scrubs;
    const entries: LogEntry[] = [];
    for (let i = 0; i < places.length; ) {
      const place = places[i] as EntryPlace;
      const cached = this.tail?.copy(
        place.segment,
        place.bodyOffset - BODY_PREFIX_BYTES,
        place.bodyLength + BODY_PREFIX_BYTES,
      );
      if (cached !== undefined) {
        entries.push(this.entryAt(place, cached, BODY_PREFIX_BYTES));
        i++;
        continue;
      }
      const to = neighboursFrom(places, i);
      await this.fetchTogether(places.slice(i, to), entries);
      i = to;
    }
    return entries;
  }

  private async fetchTogether(places: readonly EntryPlace[], entries: LogEntry[]): Promise<void> {
    const first = places[0] as EntryPlace;
    const last = places.at(-1) as EntryPlace;
    const from = first.bodyOffset - BODY_PREFIX_BYTES;
    this.checkPlaces(places);
    const bytes = Buffer.allocUnsafe(last.bodyOffset + last.bodyLength - from);
    const reading = this.files.readAt(this.fileOf(first.segment), bytes, from);
    if (reading !== undefined) await reading;
    for (const place of places) entries.push(this.entryAt(place, bytes, place.bodyOffset - from));
  }

  /** A damaged index points outside of its segment, or backward: an event's own checksum can't tell that. */
  private checkPlaces(places: readonly EntryPlace[]): void {
    let end = BODY_PREFIX_BYTES;
    for (const { segment, bodyOffset, bodyLength } of places) {
      const { folder } = this.files;
      if (bodyOffset < end || bodyOffset + bodyLength > folder.identity.segmentBytes)
        throw corrupt(folder, segment, bodyOffset, "its sidecar (.idx) points to no event");
      end = bodyOffset + bodyLength;
    }
  }

  private fileOf(segment: number): number {
    const file = this.files.segment(segment);
    if (file === undefined)
      throw new PulseGateError("log_unavailable", `Segment ${segment} was trimmed while it was read; read again.`);
    return file;
  }

  private entryAt(place: EntryPlace, bytes: Buffer, bodyAt: number): LogEntry {
    const { receivedAt, sequence, erasedAt } = bodyPrefixAt(bytes, bodyAt);
    if (sequence !== place.sequence || !isBodyIntact(bytes, bodyAt, place.bodyLength)) {
      const { scrubs } = this.progress;
      if (scrubs !== this.scrubs || scrubs % 2 === 1)
        throw new PulseGateError("log_unavailable", "Payloads were erased while this was read; read again.");
      throw corrupt(
        this.files.folder,
        place.segment,
        place.bodyOffset,
        `the event with sequence ${place.sequence} is not as it was written`,
      );
    }
    const body = bytes.subarray(bodyAt, bodyAt + place.bodyLength);
    return erasedAt === undefined
      ? { sequence, receivedAt, bytes: body }
      : { sequence, receivedAt, bytes: body, erasedAt };
  }
}

function addFromRun(places: EntryPlace[], run: Run, from: number, wanted: number, bytesMax: number): void {
  const start = from - run.first;
  const end = Math.min(run.places.length / 2, start + wanted);
  let bytes = 0;
  for (let i = start; i < end && bytes <= bytesMax; i++) {
    const bodyLength = run.places[2 * i + 1] as number;
    places.push({ segment: run.segment, sequence: run.first + i, bodyOffset: run.places[2 * i] as number, bodyLength });
    bytes += bodyLength;
  }
}

/** Index behind the last place that is worth reading together with place `from`. */
function neighboursFrom(places: readonly EntryPlace[], from: number): number {
  const first = places[from] as EntryPlace;
  let to = from + 1;
  for (; to < places.length; to++) {
    const before = places[to - 1] as EntryPlace;
    const next = places[to] as EntryPlace;
    const gap = next.bodyOffset - before.bodyOffset - before.bodyLength;
    if (next.segment !== first.segment || gap > GAP_BYTES_MAX) break;
    if (next.bodyOffset + next.bodyLength - first.bodyOffset > READ_BYTES_MAX) break;
  }
  return to;
}
