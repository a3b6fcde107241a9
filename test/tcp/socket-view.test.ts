import { SockDiag, snapshot } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import { encodeMessage, NLMSGHDR_SIZE } from '../../src/tcp/netlink.js';
import { SocketExtract, SocketView } from '../../src/tcp/socket-view.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { awaitLoopback, families, listening, tcp } from '../fixture/sockets.js';

for (const family of families) {
  for (const info of [true, false]) {
    test(`a view reads what the row says: ${family.name}, ${info ? 'with' : 'without'} TCP_INFO`, (t) => {
      const owned = ownedBy(t);
      const listener = listening(owned, family);
      const client = tcp(owned, family);
      sys.connect(client, listener);
      sys.write(client, 'unread');
      using diag = SockDiag.open();
      const [local, remote] = [sys.getpeername(client), sys.getsockname(client)];
      awaitLoopback(() => diag.find({ local, remote })?.recvQ === 6);
      const extract = diag.extract({ info });
      const all = Array.from({ length: extract.length }, (_, row) => new SocketView(extract, row));
      const inodes = extract.inodes();
      t.true(all.every(({ inode }, row) => inode === inodes[row]));
      // The port alone is not ours: any other local address may have it as well.
      const ours = all.filter(
        ({ local }) => local.port === listener.port && local.address === listener.address,
      );
      // The listener and what it has not accepted.
      t.is(ours.length, 2);
      const views = new Map(ours.map((view) => [Number(view.cookie), view]));
      for (const row of snapshot({ info })) {
        const view = views.get(Number(row.cookie));
        if (view === undefined) continue;
        const { shutdown: _, memory: __, info: told, ...rest } = row;
        t.like(view, rest);
        t.is(view.info === undefined, told === undefined);
        for (const [name, value] of Object.entries(view.info ?? {})) {
          const now = told?.toObject()[name as 'totalRetrans'];
          // Time goes on between the two.
          if (/^last.*Ms$/.test(name)) t.true((value ?? 0) <= (now ?? 0));
          else t.is(value, now, name);
        }
        t.is(view.lastAckRecvMs, view.info?.lastAckRecvMs);
      }
    });
  }
}

const DONE = encodeMessage({ type: 3, flags: 2, sequence: 1, head: new Uint8Array(4) });
/** A socket whose state is CLOSE_WAIT, its inode 77, with so many bytes of TCP_INFO, each 1. */
const socket = (infoSize: number): Uint8Array => {
  const head = new Uint8Array(72);
  head[1] = 8;
  head[68] = 77;
  const attributes = [[2, new Uint8Array(infoSize).fill(1)]] as const;
  return encodeMessage({ type: 20, flags: 2, sequence: 1, head, attributes });
};

const infos: readonly (readonly [
  bytes: number,
  lastAck: number | undefined,
  sent: number | undefined,
])[] = [
  [0, undefined, undefined],
  [59, undefined, undefined],
  [60, 0x1010101, undefined],
  [207, 0x1010101, undefined],
  [208, 0x1010101, 0x1010101 + 0x1010101 * 2 ** 32],
  [1000, 0x1010101, 0x1010101 + 0x1010101 * 2 ** 32],
];
for (const [bytes, lastAck, sent] of infos) {
  test(`TCP_INFO of ${bytes} bytes: what the kernel did not return is undefined`, (t) => {
    const extract = new SocketExtract([socket(bytes), DONE]);
    const view = new SocketView(extract, 0);
    t.like(view, { state: 'CLOSE_WAIT', inode: 77, lastAckRecvMs: lastAck });
    t.is(view.info?.bytesSent, sent);
    t.deepEqual(extract.incomplete, []);
  });
}

test('chunks may share their memory, and those behind the end are not taken', (t) => {
  const shared = new Uint8Array(4096);
  function* chunks() {
    for (let inode = 1; inode <= 1000; inode++) {
      const message = socket(280);
      message[NLMSGHDR_SIZE + 68] = inode & 0xff;
      message[NLMSGHDR_SIZE + 69] = inode >> 8;
      shared.set(message);
      yield shared.subarray(0, message.length);
    }
    yield DONE;
    t.fail('taken');
  }
  const extract = new SocketExtract(chunks());
  t.deepEqual(
    [...extract.inodes()],
    Array.from({ length: 1000 }, (_, i) => i + 1),
  );
});

for (const [name, chunks, reason] of [
  ['nothing', [], 'the dump did not end'],
  [
    'a message cut short',
    [socket(8).subarray(0, 40)],
    'netlink message at byte 0: length 100 past the end',
  ],
] as const) {
  test(`incomplete: ${name}`, (t) => {
    const { length, incomplete } = new SocketExtract(chunks);
    t.is(length, 0);
    t.true(incomplete.includes(reason), incomplete.join());
  });
}
