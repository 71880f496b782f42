const DEADLINE_MS = 30_000;

/** Asks again and again until the answer is there; for outside facts that announce themselves to nobody. */
export async function until<T>(ask: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
}
