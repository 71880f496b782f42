import { z } from "zod";
import { PAGE, pageOf, TENANT } from "../input.ts";
import { operation } from "../operation.ts";
import { StorageSchema } from "../schemas.ts";

const showStorage = operation({
  id: "show_storage",
  method: "GET",
  path: "/storage",
  summary: "Show what the log's files take up, and how much of it each tenant's events are",
  description:
    "`disk` is of the embedded log, told to tokens for all tenants. A tenant's bytes are those of its stored events; names, checksums, sidecars, the state and what is not freed yet come on top.",
  role: "viewer",
  scope: "tenant",
  query: z.strictObject({ ...TENANT, ...PAGE }),
  response: StorageSchema,
  handle: async ({ tenantId, query }, { storage, reader }) => {
    const streams = (await storage.knownStreams()).filter((one) => tenantId === undefined || one.tenantId === tenantId);
    const page = pageOf([...Map.groupBy(streams, (one) => one.tenantId)], ([tenant]) => tenant, query);
    const items = page.items.map(async ([tenant, own]) => {
      const [sizes, bounds] = await Promise.all([
        Promise.all(own.map((stream) => storage.storedBytes(stream))),
        Promise.all(own.map((stream) => reader.bounds(stream))),
      ]);
      const events = bounds.reduce((sum, { first, end }) => sum + end - first, 0);
      return { tenant, events, bytes: sizes.reduce((sum, size) => sum + size, 0) };
    });
    const use = tenantId === undefined ? await storage.diskUse() : undefined;
    const disk = use && { used_bytes: use.usedBytes, full_at_bytes: use.fullAtBytes, bytes_max: use.bytesMax };
    return { body: { items: await Promise.all(items), next: page.next, disk } };
  },
});

export const STORAGE_OPERATIONS = [showStorage];
