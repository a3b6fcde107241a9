import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { perFamily } from '../fixture/per-family.js';
import { awaitEvents, awaitThat, connected, listening, tcp } from '../fixture/sockets.js';

perFamily('poll(): one result per request, in order', (t, family) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned, family);
  sys.write(client, 'x');
  // A closed descriptor is news at once: with one among them, poll() waits for no other.
  awaitEvents(server, sys.POLLIN);
  t.deepEqual(
    sys.poll(
      [
        { fd: client, events: sys.POLLIN },
        { fd: server, events: sys.POLLIN | sys.POLLOUT },
        { fd: -1, events: sys.POLLIN },
        { fd: 100_000, events: sys.POLLIN },
      ],
      5000,
    ),
    [
      { fd: client, revents: 0 },
      { fd: server, revents: sys.POLLIN | sys.POLLOUT },
      { fd: -1, revents: 0 },
      { fd: 100_000, revents: sys.POLLNVAL },
    ],
  );
});

test('poll(): after its time, nothing; of nothing, nothing', (t) => {
  const { fd } = listening(ownedBy(t));
  const before = sys.clock_gettime(sys.CLOCK_MONOTONIC);
  t.deepEqual(sys.poll([{ fd, events: sys.POLLIN }], 20), [{ fd, revents: 0 }]);
  t.true(sys.clock_gettime(sys.CLOCK_MONOTONIC) - before >= 20_000_000n);
  t.deepEqual(sys.poll([], 0), []);
});

test('poll(): how a connection ends, bit by bit', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const all = sys.POLLIN | sys.POLLOUT | sys.POLLRDHUP;
  const revents = () => sys.poll([{ fd: server, events: all }], 0)[0]?.revents;
  const awaitEvent = (event: number) =>
    awaitThat(
      () => ((revents() ?? 0) & event) !== 0,
      () => `${event}, there is ${revents()}`,
    );
  t.is(revents(), sys.POLLOUT);
  sys.shutdown(client, sys.SHUT_WR);
  awaitEvent(sys.POLLRDHUP);
  t.is(revents(), sys.POLLIN | sys.POLLOUT | sys.POLLRDHUP);
  sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
  owned.close(client);
  awaitEvent(sys.POLLHUP);
  t.is(revents(), all | sys.POLLERR | sys.POLLHUP);
});

test('poll(): an array that grows as it is read counts as it was', (t) => {
  const requests = [
    { fd: -1, events: 0 },
    { fd: -2, events: 0 },
  ];
  Object.defineProperty(requests, 0, {
    get() {
      requests.length = 9;
      return { fd: -1, events: 0 };
    },
  });
  t.deepEqual(sys.poll(requests, 0), [
    { fd: -1, revents: 0 },
    { fd: -2, revents: 0 },
  ]);
});

const badPolls: [what: string, fds: unknown, timeoutMs: unknown, error: RegExp][] = [
  ['no array', { length: 1 }, 0, /^poll: fds must be an array of \{fd, events\}/],
  ['a hole', new Array(1), 0, /^poll: fds\[0\] must be \{fd: integer, events: integer\}/],
  ['null', [null], 0, /^poll: fds\[0\] must be/],
  ['no events', [{ fd: 1 }], 0, /^poll: fds\[0\] must be/],
  ['a descriptor as text', [{ fd: '1', events: 1 }], 0, /^poll: fds\[0\] must be/],
  ['a descriptor past 32 bits', [{ fd: 2 ** 32, events: 1 }], 0, /^poll: fds\[0\]\.fd must be/],
  ['events past 16 bits', [{ fd: 0, events: 65537 }], 0, /^poll: fds\[0\]\.events must be/],
  ['more than there can be', new Array(2 ** 32 - 1), 0, /^poll: fds\.length must be an integer/],
  ['NaN as timeout', [], Number.NaN, /^p?poll: timeout must be an integer/],
  ['a timeout as text', [], '0', /^p?poll: timeout must be an integer/],
];

for (const [what, fds, timeoutMs, message] of badPolls) {
  test(`poll() refuses ${what}`, (t) => {
    t.throws(() => sys.poll(fds as sys.PollRequest[], timeoutMs as number), { message });
  });
}

perFamily('epoll: what was asked for comes back with its data', (t, family) => {
  const owned = ownedBy(t);
  const { client, server, listener } = connected(owned, family);
  const epoll = owned.own(sys.epoll_create1(sys.EPOLL_CLOEXEC));
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, server, sys.EPOLLIN, 0xffff_ffff);
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, listener, sys.EPOLLIN);
  t.deepEqual(sys.epoll_wait(epoll, 8, 0), []);
  sys.write(client, 'x');
  t.deepEqual(sys.epoll_wait(epoll, 8, 5000), [{ events: sys.EPOLLIN, data: 0xffff_ffff }]);
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_MOD, server, sys.EPOLLOUT);
  t.deepEqual(sys.epoll_wait(epoll, 8, 0), [{ events: sys.EPOLLOUT, data: server }]);
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_DEL, server);
  t.deepEqual(sys.epoll_wait(epoll, 8, 0), []);
});

test('epoll: more ready than asked for come in turns', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const epoll = owned.own(sys.epoll_create1());
  for (const fd of [client, server]) sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, fd, sys.EPOLLOUT);
  const turns = [1, 2].flatMap(() => sys.epoll_wait(epoll, 1, 0));
  t.deepEqual(new Set(turns.map(({ data }) => data)), new Set([client, server]));
});

test('epoll: EPOLLET tells once, EPOLLONESHOT once until asked again', (t) => {
  const owned = ownedBy(t);
  const { client, server } = connected(owned);
  const epoll = owned.own(sys.epoll_create1());
  // EPOLLET is bit 31, so `|` makes a negative number of it: the same bits.
  t.true((sys.EPOLLIN | sys.EPOLLET) < 0);
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_ADD, server, sys.EPOLLIN | sys.EPOLLET);
  sys.write(client, 'x');
  t.is(sys.epoll_wait(epoll, 8, 5000).length, 1);
  t.is(sys.epoll_wait(epoll, 8, 0).length, 0);
  sys.epoll_ctl(epoll, sys.EPOLL_CTL_MOD, server, sys.EPOLLIN | sys.EPOLLONESHOT);
  t.is(sys.epoll_wait(epoll, 8, 0).length, 1);
  t.is(sys.epoll_wait(epoll, 8, 0).length, 0);
});

for (const maxevents of [0, -1, 65537, 1.5, Number.NaN]) {
  test(`epoll_wait() refuses to wait for ${maxevents} events`, (t) => {
    const epoll = ownedBy(t).own(sys.epoll_create1());
    t.throws(() => sys.epoll_wait(epoll, maxevents, 0), {
      instanceOf: RangeError,
      message: /^epoll_wait: maxevents must be an integer from 1 to 65536/,
    });
  });
}

test('a socket that was never connected: POLLOUT and POLLHUP', (t) => {
  const fd = tcp(ownedBy(t));
  t.deepEqual(sys.poll([{ fd, events: sys.POLLOUT }], 0), [
    { fd, revents: sys.POLLOUT | sys.POLLHUP },
  ]);
});
