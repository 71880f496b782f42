/**
 * What the runtime and libraries need (where things are, language, time zone, certificates, proxies), and what
 * built-in plugins read.
 */
const PASSED =
  /^(KAFKA_BROKERS|PULSEGATE_GEOIP_DATABASE|PATH|HOME|USER|LOGNAME|TMPDIR|TEMP|TMP|TZ|LANG|LANGUAGE|LC_\w+|NODE_\w+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT)$/i;

/** The environment of a thread or process in which foreign code runs: PulseGate's secrets are not in it. */
export function foreignEnvironment(): Record<string, string> {
  const passed = Object.entries(process.env).filter(([name, value]) => value !== undefined && PASSED.test(name));
  return Object.fromEntries(passed as [string, string][]);
}
