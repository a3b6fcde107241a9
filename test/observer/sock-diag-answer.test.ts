/** What sock_diag answers now and then, or on another kernel. */
import { SockDiag } from '../../src/observer/sock-diag.js';
import { ENOENT } from '../../src/syscall/errno.js';
import * as sys from '../../src/syscall/sys.js';
import { NLMSG_DONE, NLMSG_ERROR } from '../../src/tcp/netlink.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { listening, tcp } from '../fixture/sockets.js';

const CLOSES = 1000;

test('a connection whose end becomes a timewait stub is found at every look', async (t) => {
  const owned = ownedBy(t);
  const listener = listening(owned);
  const remote = { address: listener.address, port: listener.port };
  using diag = SockDiag.open();
  await using closer = await sys.Actor.start({ name: 'closer' });
  const lost: (string | undefined)[] = [];
  for (let i = 0; i < CLOSES; i++) {
    const client = tcp(owned);
    sys.connect(client, listener);
    const server = owned.own(sys.accept(listener.fd).fd);
    const tuple = { local: sys.getsockname(client), remote };
    const closing = closer.close(owned.release(client));
    // It stays a socket, under a timer of its own, where the ACK comes while close() has it still (tcp_rcv_state_process()).
    const end = performance.now() + 30_000;
    for (let timer = ''; timer !== 'timewait' && timer !== 'keepalive'; ) {
      const row = diag.find(tuple);
      if (row === undefined || row.state === 'CLOSE') lost.push(row?.state);
      if (lost.length > 10 || performance.now() > end) return t.fail(`${row?.state} ${lost}`);
      timer = row?.timer ?? '';
    }
    await closing;
    sys.setOption(server, 'SO_LINGER', { on: true, seconds: 0 });
    owned.close(server);
  }
  t.deepEqual(lost, []);
});

function message(type: number, sequence: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint32(8, sequence, true);
  bytes.set(payload, 16);
  return bytes;
}

const errno = (number: number) => new Uint8Array(Int32Array.of(-number).buffer);

/** A SockDiag that gets these answers. */
function answered(owned: sys.Descriptors, answers: readonly Uint8Array[]): SockDiag {
  const [ours, kernel] = sys.socketpair(sys.AF_UNIX, sys.SOCK_SEQPACKET | sys.SOCK_CLOEXEC);
  owned.own(kernel);
  for (const answer of answers) sys.write(kernel, answer);
  return new SockDiag(ours);
}

const tuple = {
  local: { address: '127.0.0.1', port: 1 },
  remote: { address: '127.0.0.1', port: 2 },
};

test('a kernel without tcp_diag ends a dump with ENOENT: that is an error, and no empty table', (t) => {
  using diag = answered(ownedBy(t), [message(NLMSG_DONE, 1, errno(ENOENT))]);
  t.throws(() => diag.snapshot(), { code: 'ENOENT', message: /^sock_diag ENOENT/ });
});

test('what is left of a dump is no answer to who asks for one connection', (t) => {
  const left = message(NLMSG_DONE, 99, errno(0));
  const none = [1, 2, 3].map((sequence) => message(NLMSG_ERROR, sequence, errno(ENOENT)));
  using diag = answered(ownedBy(t), [left, ...none]);
  t.is(diag.find(tuple), undefined);
});

test('a listener is no connection, whatever is asked for', (t) => {
  const { address, port } = listening(ownedBy(t));
  using diag = SockDiag.open();
  const local = { address, port };
  t.is(diag.find({ local, remote: { address: '0.0.0.0', port: 0 } }), undefined);
  t.is(diag.find({ local, remote: { address: '127.0.0.9', port: 0 } }), undefined);
});
