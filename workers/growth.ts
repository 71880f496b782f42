const MIB = 1024 * 1024;

/**
 * What is wrong with the size of what became of an event. Batches are read by the size of what is
 * stored; without a limit, one transform that swells its events would take all memory there is.
 */
export function growthFault(accepted: Buffer, changed: Buffer): string | undefined {
  if (changed.length <= 2 * accepted.length + MIB) return undefined;
  return `it swelled from ${accepted.length} to ${changed.length} bytes; twice the size and 1 MiB is the most`;
}
