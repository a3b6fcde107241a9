import test from 'ava';
import { Listeners } from '../../src/diagnose/listeners.js';
import type { Suspect } from '../../src/diagnose/namespace.js';
import { ageOf, settle } from '../../src/diagnose/settle.js';
import { decodeTcpInfo, tcpInfoFields } from '../../src/tcp/info.js';

/** TCP_INFO in which only these fields are not 0. */
function info(values: Readonly<Record<string, number>>) {
  const bytes = new Uint8Array(280);
  for (const { name, offset } of tcpInfoFields) {
    const value = values[name];
    if (value !== undefined) new DataView(bytes.buffer).setUint32(offset, value, true);
  }
  return decodeTcpInfo(bytes);
}

const base: Suspect = {
  netns: 1,
  state: 'CLOSE_WAIT',
  local: { address: '127.0.0.1', port: 80 },
  remote: { address: '127.0.0.1', port: 4242 },
  recvQ: 0,
  sendQ: 0,
  inode: 77,
  timer: 'off',
  timerMs: 0,
  retransmits: 0,
  cookie: 1n,
  info: info({ lastAckRecvMs: 5 }),
};
const old: Suspect = { ...base, cookie: 2n, info: info({ lastAckRecvMs: 60_000 }) };
const never = (): never => {
  throw new Error('looked again');
};

test('old enough: one look', async (t) => {
  const { watched, passing } = await settle([old], never, { settleMs: 40 });
  t.deepEqual(watched, [{ suspect: old, watchedMs: 0, sentBytes: 0 }]);
  t.is(passing, 0);
});

for (const [what, suspect] of [
  ['data and the FIN', { ...old, recvQ: 5000 }],
  ['data, and no FIN yet', { ...old, state: 'FIN_WAIT2', recvQ: 1 }],
] as const) {
  test(`old, with ${what} unread: left unless somebody reads, however slowly`, async (t) => {
    const slowly = { ...suspect, recvQ: suspect.recvQ - 1 };
    t.like(await settle([suspect], () => [slowly], { settleMs: 40 }), { watched: [], passing: 1 });
    const { watched } = await settle([suspect], () => [suspect], { settleMs: 40 });
    t.is(watched.length, 1);
    t.true((watched[0]?.watchedMs ?? 0) >= 40);
  });
}

test('old, with nothing but the FIN unread: one look', async (t) => {
  const { watched } = await settle([{ ...old, recvQ: 1 }], never, { settleMs: 40 });
  t.is(watched.length, 1);
});

test('an unanswered FIN is no reason to look again', async (t) => {
  const fin: Suspect = { ...base, state: 'LAST_ACK', inode: 0 };
  t.is((await settle([fin], never, { settleMs: 40 })).watched.length, 1);
});

for (const { name, after, stays } of [
  { name: 'unchanged', after: base, stays: true },
  { name: 'gone', after: undefined, stays: false },
  { name: 'another of the same addresses', after: { ...base, cookie: 9n }, stays: false },
  { name: 'in another state', after: { ...base, state: 'LAST_ACK' }, stays: false },
  { name: 'accepted', after: { ...base, inode: 78 }, stays: false },
  { name: 'read from', after: { ...base, recvQ: 1 }, stays: false },
  {
    name: 'still receiving',
    after: { ...base, info: info({ lastAckRecvMs: 1, bytesReceived: 10 }) },
    stays: false,
  },
  {
    name: 'sending',
    after: { ...base, info: info({ lastAckRecvMs: 1, bytesSent: 10, bytesRetrans: 4 }) },
    stays: true,
  },
] as const satisfies readonly { name: string; after: Suspect | undefined; stays: boolean }[]) {
  test(`young, and then ${name}: ${stays ? 'stays' : 'had moved on'}`, async (t) => {
    const look = (): Suspect[] => [old, ...(after ? [after] : [])];
    const { watched, passing } = await settle([old, base], look, { settleMs: 40 });
    t.is(watched.length, stays ? 2 : 1);
    t.is(passing, stays ? 0 : 1);
    t.is(watched[1]?.sentBytes, stays ? (name === 'sending' ? 6 : 0) : undefined);
    if (stays) t.true((watched[1]?.watchedMs ?? 0) >= 34, `${watched[1]?.watchedMs} ms`);
  });
}

test('while nothing could be done, nobody was watched', async (t) => {
  let looks = 0;
  const watching = settle([base], () => (++looks > 1 ? [] : [base]), { settleMs: 40 });
  // As on a machine that stands still: who would have closed it had no processor either.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 80);
  t.like(await watching, { watched: [], passing: 1 });
});

test('an abort ends the watching', async (t) => {
  const signal = AbortSignal.abort();
  await t.throwsAsync(settle([base], never, { settleMs: 1000, signal }), { name: 'AbortError' });
});

for (const { state, ms } of [
  { state: 'CLOSE_WAIT', ms: 60_000 },
  { state: 'FIN_WAIT2', ms: 60_000 },
  { state: 'CLOSE', ms: 7 },
  { state: 'LAST_ACK', ms: 7 },
] as const) {
  test(`age of ${state}, 60 s after the last ACK, watched for 7 ms: ${ms} ms`, (t) => {
    t.is(ageOf({ ...old, state }, 7).ms, ms);
  });
}

test('the listeners of a connection: its address before any address, its namespace only', (t) => {
  const listener = (address: string, inode: number, netns = 1) => {
    return { netns, local: { address, port: 80 }, inode, queued: 0, backlog: 8 };
  };
  const listeners = new Listeners([
    ...[listener('127.0.0.1', 1), listener('0.0.0.0', 2), listener('::', 3)],
    ...[listener('127.0.0.1', 4, 2), listener('::1', 5), listener('127.0.0.1', 6)],
  ]);
  const at = (address: string, port = 80) => {
    return listeners.of({ netns: 1, local: { address, port } }).map(({ inode }) => inode);
  };
  t.deepEqual(at('127.0.0.1'), [1, 6]);
  t.deepEqual(at('10.0.0.1'), [2]);
  t.deepEqual(at('::ffff:10.0.0.1'), [3]);
  t.deepEqual(at('::1'), [5]);
  t.deepEqual(at('fe80::1'), [3]);
  t.deepEqual(at('127.0.0.1', 81), []);
});
