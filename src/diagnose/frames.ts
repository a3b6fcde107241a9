/** Longer than what an inspector says of a stack; who says more is none. */
const LONGEST = 1 << 26;

/** Cuts what a WebSocket's server sends into its texts (RFC 6455), as far as an inspector goes: frames of their own, unmasked. */
export class TextFrames {
  #received = Buffer.alloc(0);

  /** The texts that are whole now. Throws RangeError for a frame that nobody would wait for. */
  push(chunk: Uint8Array): string[] {
    this.#received = Buffer.concat([this.#received, chunk]);
    const texts: string[] = [];
    for (;;) {
      const frame = frameIn(this.#received);
      if (frame === undefined) return texts;
      const { start, end } = frame;
      const isText = ((this.#received[0] as number) & 0xf) === 1;
      if (isText) texts.push(this.#received.toString('utf8', start, end));
      this.#received = this.#received.subarray(end);
    }
  }
}

/** Where the payload of the first frame lies; undefined while it has not come. */
function frameIn(bytes: Buffer): { readonly start: number; readonly end: number } | undefined {
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < start) return undefined;
  const size =
    short === 127
      ? Number(bytes.readBigUInt64BE(2))
      : short === 126
        ? bytes.readUInt16BE(2)
        : short;
  if (size > LONGEST) throw new RangeError(`a frame of ${size} bytes`);
  return bytes.length < start + size ? undefined : { start, end: start + size };
}
