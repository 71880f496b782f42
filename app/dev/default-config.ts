export const DEMO_KEY = "demo";

/** What `pulsegate dev` runs without a file: the demo tenant, whose key is good on this machine only, into the dev database. */
export const DEV_CONFIG = `version: 1
tenants:
  - id: demo
    keys: [{ id: demo, key: ${DEMO_KEY} }]
    plugins:
      sinks:
        - name: postgres_sink
          config: { table: events_raw }
`;
