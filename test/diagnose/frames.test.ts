import test from 'ava';
import { TextFrames } from '../../src/diagnose/frames.js';

const frame = (opcode: number, text: string, length = text.length): Buffer => {
  const long = length > 125;
  const head = Buffer.from([
    0x80 | opcode,
    long ? 126 : length,
    ...(long ? [length >> 8, length & 255] : []),
  ]);
  return Buffer.concat([head, Buffer.from(text)]);
};
const huge = (size: bigint, text = ''): Buffer => {
  const head = Buffer.from([0x81, 127, ...new Uint8Array(8)]);
  head.writeBigUInt64BE(size, 2);
  return Buffer.concat([head, Buffer.from(text)]);
};

for (const { name, chunks, texts } of [
  { name: 'nothing', chunks: [Buffer.alloc(0)], texts: [] },
  { name: 'a text', chunks: [frame(1, '{}')], texts: ['{}'] },
  { name: 'no bytes of text', chunks: [frame(1, '')], texts: [''] },
  {
    name: 'two in a chunk',
    chunks: [Buffer.concat([frame(1, 'a'), frame(1, 'b')])],
    texts: ['a', 'b'],
  },
  {
    name: 'one byte at a time',
    chunks: [...frame(1, 'abc')].map((byte) => Buffer.of(byte)),
    texts: ['abc'],
  },
  { name: 'a length of 16 bits', chunks: [frame(1, 'x'.repeat(300))], texts: ['x'.repeat(300)] },
  { name: 'a length of 64 bits', chunks: [huge(3n, 'abc')], texts: ['abc'] },
  { name: 'what is no text is left out', chunks: [frame(9, 'ping'), frame(1, 'a')], texts: ['a'] },
  { name: 'cut short', chunks: [frame(1, 'ab', 5)], texts: [] },
] as const) {
  test(`frames: ${name}`, (t) => {
    const frames = new TextFrames();
    t.deepEqual(
      chunks.flatMap((chunk) => frames.push(chunk)),
      [...texts],
    );
  });
}

for (const size of [2n ** 26n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
  test(`frames: one of ${size} bytes is waited for by nobody`, (t) => {
    t.throws(() => new TextFrames().push(huge(size)), { instanceOf: RangeError });
  });
}
