/** The floors of ARCHITECTURE.md: a file imports from its own floor or a lower one; type imports count. */
const FLOORS = [
  ["^core/(canonical/|environment[.]ts)"],
  ["^core/ingestion/(log|lane-store|stream|revision|metrics)[.]ts", "^plugins/contract[.]ts"],
  ["^core/(ingestion|router|qps)/", "^observability/"],
  ["^drivers/", "^plugins/(transform|sink)/", "^plugins/(loading|testing)/", "^plugins/registry[.]ts"],
  ["^adapters/", "^workers/", "^config/"],
  ["^app/"],
];

const TESTS = "[.]test[.]ts$";

const floorRules = FLOORS.slice(0, -1).map((paths, floor) => ({
  name: `floor-${floor}-imports-only-downward`,
  severity: "error",
  from: {
    path: paths,
    // A file belongs to the first floor that names it.
    pathNot: [TESTS, ...FLOORS.slice(0, floor).flat()],
  },
  to: { path: FLOORS.slice(floor + 1).flat(), pathNot: FLOORS.slice(0, floor + 1).flat() },
}));

/** Siblings of one floor that must stay apart. */
const APART = ["drivers/[^/]+/", "adapters/[^/]+/", "plugins/(?:transform|sink)/[^/]+/"];

const apartRules = APART.map((folder) => ({
  name: `${folder.split("/")[0]}-siblings-stay-apart`,
  severity: "error",
  from: { path: `^(${folder})`, pathNot: TESTS },
  to: { path: `^${folder}`, pathNot: "^$1" },
}));

module.exports = {
  forbidden: [
    ...floorRules,
    ...apartRules,
    {
      name: "adapters-workers-config-stay-apart",
      severity: "error",
      from: { path: "^(adapters|workers|config)/", pathNot: TESTS },
      to: { path: "^(adapters|workers|config)/", pathNot: "^$1/" },
    },
    {
      name: "core-has-no-client",
      comment: "The core may hash, and match expressions; whatever talks to the outside is passed in.",
      severity: "error",
      from: { path: "^core/", pathNot: TESTS },
      to: {
        dependencyTypes: ["core", "npm"],
        pathNot: ["^(node:)?(buffer|crypto|util)$", "node_modules/(@marcbachmann/cel-js|re2js)/"],
      },
    },
    {
      name: "production-code-imports-no-test-code",
      severity: "error",
      from: { pathNot: [TESTS, "^(tests|bench|scripts)/", "^vitest[.]config[.]ts$"] },
      to: { path: ["^(tests|bench|scripts)/", TESTS] },
    },
    {
      name: "nothing-shipped-needs-a-dev-dependency",
      severity: "error",
      from: { path: "^(core|drivers|plugins|adapters|workers|config|app|observability)/", pathNot: TESTS },
      to: { dependencyTypes: ["npm-dev"] },
    },
    { name: "no-cycles", severity: "error", from: { pathNot: TESTS }, to: { circular: true } },
    { name: "no-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["^dist/", "^ui/"] },
    enhancedResolveOptions: {
      extensions: [".ts", ".mjs", ".js"],
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
    moduleSystems: ["es6", "cjs"],
  },
};
