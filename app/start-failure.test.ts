import { expect, test } from "vitest";
import { PulseGateError } from "../core/canonical/errors.ts";
import { startFailure } from "./start-failure.ts";

test("a log that finds no room for its first segment gives what and the next step", () => {
  const full = new PulseGateError(
    "log_full",
    "The ingestion log can't be opened: ENOSPC: no space left on device, write",
  );
  expect(startFailure(full)).toEqual({
    what: "no space left for the ingestion log",
    next: "free some space, or choose another folder",
  });
});
