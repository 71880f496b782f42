import { expect, it } from "vitest";
import type { Revision, SinkUse, TenantConfig } from "../ingestion/revision.ts";
import { lanesOf } from "./lanes.ts";

const tenant = (id: string, partitions: number, sinks: readonly string[]) =>
  ({ id, partitions, sinks: sinks.map((sink) => ({ id: sink }) as SinkUse) }) as unknown as TenantConfig;
const revision = (...tenants: TenantConfig[]) => ({ number: 1, tenants }) as unknown as Revision;

it("gives each partition of a tenant a lane for each of its sinks", () => {
  const plans = lanesOf(revision(tenant("a", 2, ["x", "y"]), tenant("b", 1, ["x"])), []);
  expect([...plans.keys()].sort()).toEqual(["a/0/x", "a/0/y", "a/1/x", "a/1/y", "b/0/x"]);
});

it("keeps the lanes of partitions that a tenant no longer has, for what is left in them", () => {
  const known = [
    { stream: { tenantId: "a", partition: 3 }, sink: "x" },
    { stream: { tenantId: "a", partition: 3 }, sink: "gone" },
    { stream: { tenantId: "gone", partition: 0 }, sink: "x" },
  ];
  expect([...lanesOf(revision(tenant("a", 1, ["x"])), known).keys()]).toEqual(["a/0/x", "a/3/x"]);
});
