import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{core,drivers,plugins,adapters,workers,config,app,observability,scripts,tests,bench}/**/*.test.ts"],
    // Real servers are started by the tests themselves; a slow machine must not look like a failure.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    // Processes that tests start find what was compiled before, as they do under the real command.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "pulsegate") },
    pool: "forks",
    maxWorkers: 2,
  },
});
