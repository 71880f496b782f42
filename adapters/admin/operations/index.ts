import type { Operation } from "../operation.ts";
import { AUDIT_OPERATIONS } from "./audit.ts";
import { CONFIG_OPERATIONS } from "./config.ts";
import { DEAD_LETTER_OPERATIONS } from "./dead-letters.ts";
import { ERASURE_OPERATIONS } from "./erasure.ts";
import { EVENT_OPERATIONS } from "./events.ts";
import { JOB_OPERATIONS } from "./jobs.ts";
import { KEY_OPERATIONS } from "./keys.ts";
import { LANE_OPERATIONS } from "./lanes.ts";
import { STORAGE_OPERATIONS } from "./storage.ts";
import { TENANT_OPERATIONS } from "./tenants.ts";
import { TRIAL_OPERATIONS } from "./trials.ts";

/** Every route of the admin API. Each knows the types of its own query and body; together they have none in common. */
export const OPERATIONS: readonly Operation[] = [
  ...TENANT_OPERATIONS,
  ...KEY_OPERATIONS,
  ...CONFIG_OPERATIONS,
  ...LANE_OPERATIONS,
  ...DEAD_LETTER_OPERATIONS,
  ...JOB_OPERATIONS,
  ...EVENT_OPERATIONS,
  ...ERASURE_OPERATIONS,
  ...STORAGE_OPERATIONS,
  ...AUDIT_OPERATIONS,
  ...TRIAL_OPERATIONS,
] as readonly unknown[] as readonly Operation[];
