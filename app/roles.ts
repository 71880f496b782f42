/** What a process does. Over a log that processes share there may be any number of each. */
export const ROLES = ["api", "worker", "admin", "all"] as const;

export type Role = (typeof ROLES)[number];

export interface Duties {
  /** Has the data port. */
  readonly takesEvents: boolean;
  /** Runs lanes and jobs, and lets go of what is too old. */
  readonly delivers: boolean;
  /** Has the admin API on its operations port. */
  readonly administers: boolean;
}

export function dutiesOf(role: Role): Duties {
  const isAll = role === "all";
  return {
    takesEvents: isAll || role === "api",
    delivers: isAll || role === "worker",
    administers: isAll || role === "admin",
  };
}
