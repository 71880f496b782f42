/** Many byte strings in one block of memory, so that a batch crosses a thread or process boundary as one. */
export interface Packed {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sizes: readonly number[];
}

export function pack(parts: readonly Uint8Array[]): Packed {
  const sizes = parts.map((part) => part.length);
  // Not from Node's pool: the whole block may be transferred.
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, sizes };
}

/** Views of the parts, in order. */
export function unpack({ bytes, sizes }: Packed): Buffer[] {
  let at = 0;
  return sizes.map((size) => {
    const part = Buffer.from(bytes.buffer, bytes.byteOffset + at, size);
    at += size;
    return part;
  });
}
