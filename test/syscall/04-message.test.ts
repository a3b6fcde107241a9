import * as sys from '../../src/syscall/sys.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { awaitEvents, connected, families } from '../fixture/sockets.js';

const text = (bytes: Uint8Array, length: number) => Buffer.from(bytes).toString('utf8', 0, length);

const pair = (owned: sys.Descriptors, type = sys.SOCK_STREAM): [number, number] =>
  sys.socketpair(sys.AF_UNIX, type).map((fd) => owned.own(fd)) as [number, number];

const rights = (...fds: number[]): sys.ControlMessage => ({
  level: sys.SOL_SOCKET,
  type: sys.SCM_RIGHTS,
  data: new Uint8Array(Int32Array.from(fds).buffer),
});

const passed = ({ control }: sys.IncomingMessage): number[] =>
  control.flatMap(({ type, data }) =>
    type === sys.SCM_RIGHTS ? [...new Int32Array(data.slice().buffer)] : [],
  );

perFamily('sendmsg() and recvmsg(): gather here, scatter there', (t, family) => {
  const { client, server } = connected(ownedBy(t), family);
  t.is(sys.sendmsg(client, { data: [Buffer.from('ab'), Buffer.from('cde')] }), 5);
  const buffers = [new Uint8Array(1), new Uint8Array(8)] as const;
  t.deepEqual(sys.recvmsg(server, { buffers }), {
    length: 5,
    control: [],
    name: new Uint8Array(),
    address: { address: '', port: 0 },
    flags: 0,
  });
  t.is(text(buffers[0], 1) + text(buffers[1], 4), 'abcde');
});

test('SCM_RIGHTS: the descriptors arrive as new ones for the same sockets', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(owned);
  const { client, server } = connected(owned);
  sys.sendmsg(a, { data: [Buffer.from('x')], control: [rights(client, server)] });
  const fds = passed(sys.recvmsg(b, { buffers: [new Uint8Array(1)], controlLength: 64 }));
  t.is(fds.length, 2);
  for (const fd of fds) owned.own(fd);
  const [copy, other] = fds as [number, number];
  t.is(sys.getOption(copy, 'SO_COOKIE'), sys.getOption(client, 'SO_COOKIE'));
  sys.write(other, 'same');
  t.is(sys.read(client, new Uint8Array(8)), 4);
});

test('SCM_RIGHTS without room: MSG_CTRUNC, and the kernel closes what did not fit', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(owned);
  const before = descriptors().length;
  sys.sendmsg(a, { data: [Buffer.from('x')], control: [rights(a, a, a)] });
  // Room for a header and two descriptors.
  const message = sys.recvmsg(b, { buffers: [new Uint8Array(1)], controlLength: 24 });
  for (const fd of passed(message)) owned.own(fd);
  t.is(message.flags & sys.MSG_CTRUNC, sys.MSG_CTRUNC);
  t.is(passed(message).length, 2);
  t.is(descriptors().length, before + 2);
});

test('MSG_CMSG_CLOEXEC marks the descriptors that arrive', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(owned);
  sys.sendmsg(a, { data: [Buffer.from('x')], control: [rights(a)] });
  const into = { buffers: [new Uint8Array(1)], controlLength: 64 };
  const [fd = -1] = passed(sys.recvmsg(b, into, sys.MSG_CMSG_CLOEXEC));
  owned.own(fd);
  t.is(sys.fcntl(fd, sys.F_GETFD), sys.FD_CLOEXEC);
});

test('SCM_TIMESTAMPNS: when the kernel received it, on the realtime clock', (t) => {
  const owned = ownedBy(t);
  for (const { domain, loopback } of families) {
    const [a, b] = [0, 0].map(() => {
      const fd = owned.own(sys.socket(domain, sys.SOCK_DGRAM));
      sys.bind(fd, { address: loopback, port: 0 });
      return fd;
    }) as [number, number];
    sys.setOption(b, 'SO_TIMESTAMPNS', true);
    const before = sys.clock_gettime(sys.CLOCK_REALTIME);
    sys.sendto(a, 'now', 0, sys.getsockname(b));
    const { control } = sys.recvmsg(b, { buffers: [new Uint8Array(8)], controlLength: 64 });
    const after = sys.clock_gettime(sys.CLOCK_REALTIME);
    t.is(control.length, 1);
    t.is(control[0]?.level, sys.SOL_SOCKET);
    t.is(control[0]?.type, sys.SCM_TIMESTAMPNS);
    const view = new DataView(control[0]?.data.slice().buffer ?? new ArrayBuffer(0));
    const stamp = view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true);
    t.true(before <= stamp && stamp <= after, `${before} <= ${stamp} <= ${after}`);
  }
});

test('SO_TIMESTAMPING: the ACK of a TCP byte comes back on the error queue', (t) => {
  const { client, server } = connected(ownedBy(t));
  sys.setOption(
    client,
    'SO_TIMESTAMPING',
    sys.SOF_TIMESTAMPING_TX_ACK |
      sys.SOF_TIMESTAMPING_SOFTWARE |
      sys.SOF_TIMESTAMPING_OPT_ID |
      sys.SOF_TIMESTAMPING_OPT_TSONLY,
  );
  sys.write(client, 'abc');
  t.is(sys.read(server, new Uint8Array(8)), 3);
  t.true((awaitEvents(client, 0) & sys.POLLERR) !== 0);
  const into = { buffers: [new Uint8Array(0)], controlLength: 256 };
  const { control, flags } = sys.recvmsg(client, into, sys.MSG_ERRQUEUE);
  t.is(flags & sys.MSG_ERRQUEUE, sys.MSG_ERRQUEUE);
  t.true(control.some(({ type }) => type === sys.SCM_TIMESTAMPING));
  const error = control.find(({ type }) => type === sys.IP_RECVERR);
  // struct sock_extended_err: ee_errno is ENOMSG, ee_data the number of the byte (OPT_ID).
  const view = new DataView(error?.data.slice().buffer ?? new ArrayBuffer(0));
  t.is(view.getUint32(0, true), sys.ENOMSG);
  t.is(view.getUint32(12, true), 2);
});

test('a datagram larger than the buffers: MSG_TRUNC, and its length on request', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(owned, sys.SOCK_DGRAM);
  sys.send(a, 'a long one');
  sys.send(a, 'a long one');
  const into = { buffers: [new Uint8Array(4)] };
  const cut = sys.recvmsg(b, into);
  t.is(cut.length, 4);
  t.is(cut.flags & sys.MSG_TRUNC, sys.MSG_TRUNC);
  t.is(sys.recvmsg(b, into, sys.MSG_TRUNC).length, 10);
});

test('sendmsg() to an address; TTL by control message arrives as one', (t) => {
  const owned = ownedBy(t);
  const [a, b] = [0, 0].map(() => {
    const fd = owned.own(sys.socket(sys.AF_INET, sys.SOCK_DGRAM));
    sys.bind(fd, { address: '127.0.0.1', port: 0 });
    return fd;
  }) as [number, number];
  sys.setOption(b, 'IP_RECVTTL', true);
  const ttl = {
    level: sys.IPPROTO_IP,
    type: sys.IP_TTL,
    data: new Uint8Array(Int32Array.of(7).buffer),
  };
  const data = [Buffer.from('hop')];
  t.is(sys.sendmsg(a, { data, control: [ttl], address: sys.getsockname(b) }), 3);
  const { control } = sys.recvmsg(b, { buffers: [new Uint8Array(8)], controlLength: 64 });
  t.deepEqual(control, [ttl]);
});

test('several control messages, padded: each comes back as it was', (t) => {
  const owned = ownedBy(t);
  const [a, b] = pair(owned);
  sys.setOption(b, 'SO_PASSCRED', true);
  const ucred = new Uint8Array(
    Int32Array.of(process.pid, process.getuid?.() ?? 0, process.getgid?.() ?? 0).buffer,
  );
  const credentials = { level: sys.SOL_SOCKET, type: sys.SCM_CREDENTIALS, data: ucred };
  sys.sendmsg(a, { data: [Buffer.from('x')], control: [rights(a), credentials] });
  const message = sys.recvmsg(b, { buffers: [new Uint8Array(1)], controlLength: 128 });
  for (const fd of passed(message)) owned.own(fd);
  t.is(message.control.length, 2);
  t.deepEqual(
    message.control.find(({ type }) => type === sys.SCM_CREDENTIALS),
    credentials,
  );
});

const wrong: [what: string, message: unknown, error: RegExp][] = [
  ['no data', {}, /^sendmsg: message must be an array of typed arrays/],
  ['null', null, /^sendmsg: message must be \{data: Uint8Array\[\]\}, received null/],
  ['nothing', undefined, /^sendmsg: message must be .* received undefined/],
  ['control of no array', { data: [], control: 5 }, /^control must be an array of messages/],
  ['control with a hole', { data: [], control: new Array(1) }, /^control\[0\] must be \{level/],
  [
    'control data whose bytes are gone',
    { data: [], control: [{ level: 1, type: 1, data: detached() }] },
    /^control\[0\].data must be a Uint8Array that its buffer is long enough for/,
  ],
  ['data that is no bytes', { data: ['x'] }, /^sendmsg: message must be a typed array/],
  [
    'control data that is no bytes',
    { data: [], control: [{ level: 1, type: 1, data: 'x' }] },
    /^control\[0\].data must be a Uint8Array/,
  ],
  [
    'a level that is no integer',
    { data: [], control: [{ level: Number.NaN, type: 1, data: new Uint8Array() }] },
    /^control\[0\].level must be an integer from -2147483648 to 2147483647/,
  ],
  [
    'a type that is too large',
    { data: [], control: [{ level: 1, type: 2 ** 32, data: new Uint8Array() }] },
    /^control\[0\].type must be an integer from -2147483648 to 2147483647/,
  ],
];

for (const [what, message, expected] of wrong) {
  test(`sendmsg() refuses ${what}`, (t) => {
    const [a] = pair(ownedBy(t));
    const error = t.throws(() => sys.sendmsg(a, message as sys.OutgoingMessage), {
      message: expected,
    });
    t.regex(Reflect.get(error, 'code'), /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/);
  });
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

for (const into of [null, undefined, 'x', Symbol('into')]) {
  test(`recvmsg() refuses ${String(into)} for buffers`, (t) => {
    const [a] = pair(ownedBy(t));
    t.throws(() => sys.recvmsg(a, into as unknown as sys.IncomingBuffers), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^recvmsg: into must be \{buffers: Uint8Array\[\]\}, received/,
    });
  });
}

for (const controlLength of [-1, 1.5, 65537, Number.NaN]) {
  test(`recvmsg() refuses a controlLength of ${controlLength}`, (t) => {
    const [a] = pair(ownedBy(t));
    t.throws(() => sys.recvmsg(a, { buffers: [], controlLength }), {
      instanceOf: RangeError,
      message: /^recvmsg: controlLength must be an integer from 0 to 65536/,
    });
  });
}
