/**
 * Takes the channel to the process that started this one out of the sight of plugins, and returns it:
 * many a library says `process.send?.("ready")`, and that is no answer to what was asked here.
 */
export function hideChannel(): (message: unknown) => void {
  const send = process.send?.bind(process);
  delete process.send;
  return (message) => void send?.(message);
}
