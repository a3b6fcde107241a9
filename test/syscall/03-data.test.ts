import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { awaitEvents, connected, drain, families, NONBLOCKING } from '../fixture/sockets.js';

const text = (bytes: Uint8Array, length: number) => Buffer.from(bytes).toString('utf8', 0, length);

perFamily('write() and read(): bytes, and text as UTF-8', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  const buffer = new Uint8Array(64);
  t.is(sys.write(client, Uint8Array.of(1, 2, 3)), 3);
  t.is(sys.read(server, buffer), 3);
  t.deepEqual([...buffer.subarray(0, 4)], [1, 2, 3, 0]);
  t.is(sys.write(client, '닫힘\n'), 7);
  t.is(sys.read(server, buffer), 7);
  t.is(text(buffer, 7), '닫힘\n');
});

perFamily('send() and recv() take flags', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  const buffer = new Uint8Array(8);
  t.is(sys.send(client, 'abc'), 3);
  t.is(sys.recv(server, buffer, sys.MSG_PEEK), 3);
  t.is(sys.recv(server, buffer), 3, 'peeking took nothing away');
  t.throws(() => sys.recv(server, buffer, sys.MSG_DONTWAIT), { code: 'EAGAIN' });
  t.is(sys.send(client, 'defg', sys.MSG_MORE), 4);
  t.is(sys.send(client, 'h'), 1);
  t.is(sys.recv(server, buffer.subarray(0, 5), sys.MSG_WAITALL), 5);
  t.is(text(buffer, 5), 'defgh');
});

test('urgent data stands apart: MSG_OOB, SIOCATMARK', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.send(client, 'a');
  sys.send(client, '!', sys.MSG_OOB);
  t.is(awaitEvents(server, sys.POLLPRI), sys.POLLPRI);
  const buffer = new Uint8Array(8);
  t.is(sys.recv(server, buffer, sys.MSG_OOB), 1);
  t.is(text(buffer, 1), '!');
  t.is(sys.ioctl(server, sys.SIOCATMARK), 0);
  t.is(sys.recv(server, buffer), 1);
  t.is(sys.ioctl(server, sys.SIOCATMARK), 1);
});

perFamily('a short buffer takes what fits; the rest stays', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  sys.write(client, 'abcdef');
  const buffer = new Uint8Array(4);
  t.is(sys.read(server, buffer), 4);
  t.is(sys.read(server, buffer), 2);
  t.is(text(buffer, 4), 'efcd', 'what lies behind the result is left alone');
});

test('an empty buffer and an empty write are 0 bytes, and no end', (t) => {
  const { client, server } = connected(ownedBy(t));
  t.is(sys.write(client, ''), 0);
  t.is(sys.write(client, new Uint8Array()), 0);
  t.is(sys.read(server, new Uint8Array()), 0);
  t.is(sys.writev(client, []), 0);
  t.is(sys.readv(server, []), 0);
});

perFamily('writev() and readv(): several buffers, in order', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  t.is(sys.writev(client, [Buffer.from('one'), new Uint8Array(), Buffer.from('two')]), 6);
  const into = [new Uint8Array(2), new Uint8Array(), new Uint8Array(8)];
  t.is(sys.readv(server, into), 6);
  t.deepEqual(
    into.map((bytes) => text(bytes, bytes.length).replaceAll('\0', '')),
    ['on', '', 'etwo'],
  );
});

test('64 buffers are taken, 65 are refused', (t) => {
  const { client, server } = connected(ownedBy(t));
  const bytes = Array.from({ length: 64 }, (_, i) => Uint8Array.of(i));
  t.is(sys.writev(client, bytes), 64);
  const into = Array.from({ length: 64 }, () => new Uint8Array(1));
  t.is(sys.readv(server, into), 64);
  t.deepEqual(into, bytes);
  t.throws(() => sys.writev(client, [...bytes, new Uint8Array(1)]), {
    instanceOf: RangeError,
    message: /^writev: data must be an array of at most 64/,
  });
});

test('sendto(): a datagram to an address; recvmsg() says from where', (t) => {
  const owned = ownedBy(t);
  for (const family of families) {
    const [a, b] = [0, 0].map(() => {
      const fd = owned.own(sys.socket(family.domain, sys.SOCK_DGRAM));
      sys.bind(fd, { address: family.loopback, port: 0 });
      return fd;
    }) as [number, number];
    t.is(sys.sendto(a, 'gram', 0, sys.getsockname(b)), 4);
    const buffer = new Uint8Array(16);
    const message = sys.recvmsg(b, { buffers: [buffer] });
    t.is(message.length, 4);
    t.deepEqual(message.address, sys.getsockname(a));
    t.is(text(buffer, 4), 'gram');
  }
});

const views: [name: string, bytes: NodeJS.TypedArray][] = [
  ['Uint8Array', new Uint8Array(8)],
  ['Buffer', Buffer.alloc(8)],
  ['Uint16Array', new Uint16Array(4)],
  ['BigInt64Array', new BigInt64Array(1)],
  ['Float64Array', new Float64Array(1)],
  ['a part of a larger array', new Uint8Array(24).subarray(8, 16)],
  ['shared memory', new Uint8Array(new SharedArrayBuffer(8))],
  [
    'a resizable buffer',
    new Uint8Array(Reflect.construct(ArrayBuffer, [8, { maxByteLength: 64 }]) as ArrayBuffer),
  ],
];

for (const [name, view] of views) {
  test(`any typed array is bytes: ${name}`, (t) => {
    const { client, server } = connected(ownedBy(t));
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
    t.is(sys.write(client, view as Uint8Array), 8);
    bytes.fill(0);
    t.is(sys.read(server, view as Uint8Array), 8);
    t.deepEqual([...bytes], [1, 2, 3, 4, 5, 6, 7, 8]);
    const around = new Uint8Array(view.buffer);
    t.is(
      around.reduce((sum, byte) => sum + byte, 0),
      36,
      'nothing outside of it was written',
    );
  });
}

test('a Float16Array, where there is one, has 2 bytes an element', (t) => {
  const Float16 = Reflect.get(globalThis, 'Float16Array') as
    | (new (
        buffer: ArrayBuffer,
        offset: number,
        length: number,
      ) => Uint8Array)
    | undefined;
  if (Float16 === undefined) {
    t.pass('this engine has none');
    return;
  }
  const { client, server } = connected(ownedBy(t));
  sys.write(client, Buffer.alloc(64, 7));
  const around = new Uint8Array(64);
  const view = new Float16(around.buffer, 16, 4);
  try {
    t.is(sys.read(server, view), 8);
  } catch (error) {
    // A Node-API that does not know the kind cannot say how long it is.
    t.true(error instanceof TypeError);
  }
  t.true(
    around.subarray(24).every((byte) => byte === 0),
    'nothing behind it was written',
  );
});

test('write() without blocking: what the buffers take, then EAGAIN; read() gets every byte', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  sys.fcntl(client, sys.F_SETFL, NONBLOCKING - sys.SOCK_STREAM);
  let sent = 0;
  const error = t.throws(() => {
    for (;;) sent += sys.write(client, new Uint8Array(1 << 20));
  });
  t.is((error as sys.SyscallError).code, 'EAGAIN');
  t.true(sent > 0);
  t.true(sys.ioctl(client, sys.SIOCOUTQ) > 0);
  const received = new Uint8Array(1 << 16);
  let got = 0;
  while (got < sent) got += sys.read(server, received);
  t.is(got, sent);
  owned.close(client);
  t.is(drain(server).length, 0);
});
