import { diagnose } from '../../src/diagnose/diagnose.js';
import { tcpInfo } from '../../src/observer/tcp-info.js';
import * as sys from '../../src/syscall/sys.js';
import { Program } from '../driver/programs.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { awaitEvents, connected, drain } from '../fixture/sockets.js';
import { until } from '../fixture/until.js';

const SERVER = `
const server = require('node:net').createServer((socket) => {
  socket.on('error', () => undefined);
  socket.on('data', (data) => socket.write(data));
}).listen(0, '127.0.0.1', () => console.log('port ' + server.address().port));
process.stdin.resume().on('end', () => process.exit());
`;

/** Clients that go in every way there is, as many at once as do not starve the server of its processor. */
const STORM = `
const { once } = require('node:events');
const { connect } = require('node:net');
const endings = [
  (socket) => socket.destroy(),
  (socket) => socket.resume().end('half closed: the answer is still to come'),
  (socket) => socket.write('never to be answered') && socket.resetAndDestroy(),
];
let lives = 0;
const live = async (ending) => {
  for (;;) {
    const socket = connect(Number(process.argv[1]), '127.0.0.1').on('error', () => undefined);
    await once(socket, 'connect');
    ending(socket);
    await once(socket, 'close');
    if (++lives % 30 === 0) console.log('lives ' + lives);
  }
};
for (const ending of endings) for (let i = 0; i < 3; i++) live(ending);
`;

test('a healthy server under a storm of closes, half-closes and aborts: no false alarm', async (t) => {
  const server = new Program(t, [process.execPath, '-e', SERVER]);
  const [, port = ''] = await server.shows('stdout', /^port (\d+)\n/m);
  const storm = new Program(t, [process.execPath, '-e', STORM, port]);
  for (let look = 0; look < 4; look++) {
    storm.stdout = '';
    await storm.shows('stdout', /^lives \d+\n/m);
    const { counts, sockets } = await diagnose({ pids: [server.pid] });
    t.is(counts.leaks, 0, JSON.stringify(sockets.filter(({ leak }) => leak)[0]?.evidence));
  }
});

test('a connection at work in CLOSE_WAIT, sending in pieces: still-sending, no leak', async (t) => {
  const { client, server, address } = connected(ownedBy(t));
  sys.shutdown(client, sys.SHUT_WR);
  drain(server);
  // In the event loop that waits to look again: it has sent something by then, however busy the machine.
  const sender = setInterval(() => sys.write(server, 'tick'), 20);
  try {
    const { sockets, counts } = await diagnose({
      ...{ pids: [process.pid], ports: [address.port], states: ['CLOSE_WAIT'] },
    });
    t.is(counts.leaks, 0);
    t.deepEqual(
      sockets.map(({ cause, state }) => [cause, state]),
      [['still-sending', 'CLOSE_WAIT']],
    );
    t.regex(
      sockets[0]?.evidence.join() ?? '',
      /bytes sent while watched|written, not yet acknowledged/,
    );
  } finally {
    clearInterval(sender);
  }
});

test('a slow reader, long after the FIN has come: no leak', async (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  sys.write(client, new Uint8Array(50_000));
  owned.close(client);
  awaitEvents(server, sys.POLLRDHUP);
  await until(
    () => (tcpInfo(server).lastAckRecvMs ?? 0) > 250,
    () => JSON.stringify(tcpInfo(server)),
  );
  const buffer = new Uint8Array(100);
  const reader = setInterval(() => sys.read(server, buffer), 20);
  try {
    const { sockets, counts } = await diagnose({ pids: [process.pid], settleMs: 200 });
    t.deepEqual(
      sockets.map(({ evidence }) => evidence),
      [],
    );
    t.is(counts.passing, 1);
  } finally {
    clearInterval(reader);
  }
  const { sockets } = await diagnose({ pids: [process.pid], settleMs: 200 });
  t.like(sockets, [{ cause: 'eof-unread', state: 'CLOSE_WAIT' }]);
});
