import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{core,drivers,plugins,adapters,workers,config,app,observability,scripts,tests,bench}/**/*.test.ts"],
    // Real servers are started by the tests themselves; a slow machine must not look like a failure.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
