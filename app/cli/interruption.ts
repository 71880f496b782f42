/** The first Ctrl-C aborts the signal, so that a command can end in order and say how to go on. */
export function interruption(): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onSignal = (): void => {
    controller.abort();
  };
  process.once("SIGINT", onSignal);
  return { signal: controller.signal, release: () => process.off("SIGINT", onSignal) };
}
