import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DCLinter } from "dclint";
import { validate } from "dockerfile-utils";
import * as autoscaling from "kubernetes-models/autoscaling/v2";
import * as apps from "kubernetes-models/apps/v1";
import * as policy from "kubernetes-models/policy/v1";
import * as core from "kubernetes-models/v1";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { parseConfig } from "../../config/parse.ts";
import { PLUGINS } from "../../plugins/registry.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const KUBERNETES = join(ROOT, "deploy/kubernetes");

const read = (name: string): Promise<string> => readFile(join(ROOT, name), "utf8");

interface LintResult {
  readonly messages: ReadonlyArray<{ readonly type: string; readonly line: number; readonly message: string }>;
}

/** What the schema of compose files and the rules of the linter call errors. */
function composeErrors(file: string): string[] {
  const linter = new DCLinter({ rules: {}, quiet: true, debug: false, exclude: [] });
  const results = linter.lintFiles([file], false) as readonly LintResult[];
  return results
    .flatMap(({ messages }) => messages)
    .filter(({ type }) => type === "error")
    .map(({ line, message }) => `${line}: ${String(message)}`);
}

describe("compose.yaml", () => {
  test("is what the schema of compose files allows", () => {
    expect(composeErrors(join(ROOT, "compose.yaml"))).toEqual([]);
  });

  test("the check tells of what is wrong", async () => {
    const file = join(await tempDir(), "compose.yaml");
    await writeFile(file, (await read("compose.yaml")).replace("restart: unless-stopped", "restart: [never]"));
    expect(composeErrors(file)).not.toEqual([]);
  });

  test("mounts only files that are there, and opens ports on this machine alone", async () => {
    const { services } = parse(await read("compose.yaml"), { merge: true }) as {
      services: Record<string, { volumes?: string[]; ports?: string[] }>;
    };
    const mounts = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((one) => one.startsWith("./")));
    for (const mount of mounts) await expect(read(mount.split(":")[0] as string).catch(isFolder)).resolves.toBeTruthy();
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
    expect([mounts.length > 0, ports.length > 0]).toEqual([true, true]);
  });
});

function isFolder(error: NodeJS.ErrnoException): true {
  if (error.code === "EISDIR") return true;
  throw error;
}

describe("Dockerfile", () => {
  test("is one that Docker takes, and runs as nobody special", async () => {
    const text = await read("Dockerfile");
    expect(faultsOf(text)).toEqual([]);
    const final = text.slice(text.lastIndexOf("\nFROM "));
    expect(final).toMatch(/^USER node$/m);
    expect(final).toMatch(/^HEALTHCHECK /m);
    expect(faultsOf(text.replace("USER node", "USER"))).not.toEqual([]);
  });

  test("has the Node.js that the tests run on", async () => {
    const { devDependencies } = JSON.parse(await read("package.json")) as { devDependencies: Record<string, string> };
    const versions = [...(await read("Dockerfile")).matchAll(/^FROM node:([\d.]+)-/gm)].map(([, version]) => version);
    expect(new Set(versions)).toEqual(new Set([devDependencies["node"]]));
  });
});

/** As language servers number them. */
const ERROR = 1;
const WARNING = 2;

function faultsOf(dockerfile: string): string[] {
  return validate(dockerfile)
    .filter(({ severity = ERROR }) => severity <= WARNING)
    .map(({ range, message }) => `${range.start.line + 1}: ${typeof message === "string" ? message : message.value}`);
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

interface Deployment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly automountServiceAccountToken: boolean;
        readonly securityContext: object;
        readonly containers: ReadonlyArray<{
          readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
        }>;
      };
    };
  };
}

interface Autoscaler extends Manifest {
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string };
    readonly metrics: ReadonlyArray<{ readonly external?: { readonly metric: { readonly name: string } } }>;
  };
}

type Model = new (manifest: never) => { validate(): void };

/** Every kind that the manifests use. */
const MODELS: Readonly<Record<string, Model>> = {
  "v1 Namespace": core.Namespace,
  "v1 ConfigMap": core.ConfigMap,
  "v1 Service": core.Service,
  "apps/v1 Deployment": apps.Deployment,
  "policy/v1 PodDisruptionBudget": policy.PodDisruptionBudget,
  "autoscaling/v2 HorizontalPodAutoscaler": autoscaling.HorizontalPodAutoscaler,
};

async function manifests(): Promise<Manifest[]> {
  const files = (await readdir(KUBERNETES)).filter((name) => name !== "kustomization.yaml");
  const texts = await Promise.all(files.map((name) => readFile(join(KUBERNETES, name), "utf8")));
  return texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Manifest));
}

describe("deploy/kubernetes", () => {
  test("every manifest is what its schema allows", async () => {
    const all = await manifests();
    expect(all.length).toBeGreaterThanOrEqual(10);
    for (const manifest of all) {
      const model = MODELS[`${manifest.apiVersion} ${manifest.kind}`] as Model;
      expect(model, `${manifest.apiVersion} ${manifest.kind}`).toBeDefined();
      new model(manifest as never).validate();
    }
  });

  test("the check tells of what is wrong", async () => {
    const found = (await manifests()).find(({ kind }) => kind === "Deployment");
    const broken = { ...found, spec: { replicas: "two" } };
    expect(() => new apps.Deployment(broken as never).validate()).toThrow("spec");
  });

  test("every pod is as restricted as can be, is looked after, and has the time that it needs to end", async () => {
    const all = (await manifests()) as unknown as readonly Deployment[];
    const deployments = all.filter(({ kind }) => kind === "Deployment");
    expect(deployments.map(({ metadata }) => metadata.name)).toEqual(["admin", "api", "worker"]);
    const graceSecs = Number(/shutdown_grace: (\d+)s/.exec(await read("deploy/kubernetes/config.yaml"))?.[1]);
    for (const { spec } of deployments) {
      const { containers, terminationGracePeriodSeconds, securityContext, automountServiceAccountToken } =
        spec.template.spec;
      expect(automountServiceAccountToken).toBe(false);
      expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      for (const container of containers) {
        expect(container).toMatchObject({
          livenessProbe: { httpGet: { path: "/livez" } },
          readinessProbe: { httpGet: { path: "/readyz" } },
          startupProbe: { httpGet: { path: "/livez" } },
          resources: { limits: { memory: expect.any(String) }, requests: { cpu: expect.any(String) } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
        });
        const pauseSecs = container.lifecycle?.preStop.sleep.seconds ?? 0;
        expect(terminationGracePeriodSeconds).toBeGreaterThan(pauseSecs + graceSecs);
      }
    }
  });

  test("autoscalers alone say how many there are, by a metric that PulseGate has", async () => {
    const all = (await manifests()) as unknown as ReadonlyArray<Deployment & Autoscaler>;
    const scalers = all.filter(({ kind }) => kind === "HorizontalPodAutoscaler");
    expect(scalers.map(({ spec }) => spec.scaleTargetRef.name)).toEqual(["api", "worker"]);
    const metrics = scalers.flatMap(({ spec }) => spec.metrics.flatMap(({ external }) => external?.metric.name ?? []));
    const reference = await read("docs/reference/metrics.md");
    expect(metrics).toEqual(["pulsegate_stream_lag"]);
    for (const metric of metrics) expect(reference).toContain(`\`${metric}\``);
    for (const { spec } of scalers) {
      const target = all.find(({ kind, metadata }) => {
        return kind === "Deployment" && metadata.name === spec.scaleTargetRef.name;
      });
      expect(target?.spec).not.toHaveProperty("replicas");
    }
  });

  test("kustomization.yaml names every file, and the configuration is valid", async () => {
    const { resources } = parse(await read("deploy/kubernetes/kustomization.yaml")) as { resources: string[] };
    const files = (await readdir(KUBERNETES)).filter((name) => name !== "kustomization.yaml");
    expect(resources.toSorted()).toEqual(files.toSorted());
    const config = (await manifests()).find(({ kind }) => kind === "ConfigMap") as unknown as {
      data: Record<string, string>;
    };
    const env = {
      REDIS_URL: "redis://redis:6379",
      DATABASE_URL: "postgres://u:p@localhost:5432/db",
      WEB_KEY_SHA256: "0".repeat(64),
      ADMIN_TOKEN_SHA256: "1".repeat(64),
    };
    const text = config.data["pulsegate.yaml"] ?? "";
    const result = parseConfig({ text, file: "pulsegate.yaml", plugins: PLUGINS, env, mode: "production" });
    expect(result).toMatchObject({ ok: true });
  });
});
