const DEADLINE_MS = 30_000;
/** What is waited for may need the same processor. */
const PAUSE_MS = 5;

/** Asks again and again until the answer is there; for outside facts that announce themselves to nobody. */
export async function until<T>(ask: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
}
