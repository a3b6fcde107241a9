/** What the event loops of this process watch, in words: by real entries, as the kernel tells them. */
import { fstatSync } from 'node:fs';
import { interestOf } from '../../src/diagnose/interest.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { connected } from '../fixture/sockets.js';

const { EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET, EPOLLONESHOT } = sys;

for (const { name, events, fires = false, says } of [
  { name: 'events', events: EPOLLIN | EPOLLRDHUP, says: 'EPOLLIN|EPOLLRDHUP' },
  { name: 'an edge', events: EPOLLOUT | EPOLLET, fires: true, says: 'EPOLLOUT|EPOLLET' },
  { name: 'once', events: EPOLLOUT | EPOLLONESHOT, says: 'EPOLLOUT|EPOLLONESHOT' },
  {
    name: 'once, and it has fired',
    events: EPOLLOUT | EPOLLONESHOT | EPOLLET,
    fires: true,
    says: 'nothing until it is armed again',
  },
  { name: 'no events', events: 0, says: 'EPOLLERR|EPOLLHUP' },
  { name: 'no events, once', events: EPOLLONESHOT, says: 'EPOLLERR|EPOLLHUP|EPOLLONESHOT' },
]) {
  test(`watched for ${name}: ${says}`, (t) => {
    const owned = ownedBy(t);
    const { client } = connected(owned);
    const epfd = owned.own(sys.epoll_create1());
    sys.epoll_ctl(epfd, sys.EPOLL_CTL_ADD, client, events);
    if (fires) t.is(sys.epoll_wait(epfd, 1, 0).length, 1);
    t.deepEqual(interestOf(process.pid)?.get(fstatSync(client).ino), [{ epfd, events: says }]);
  });
}

test('an instance that another one watches is nested', (t) => {
  const owned = ownedBy(t);
  const { client } = connected(owned);
  const [inner, outer] = [owned.own(sys.epoll_create1()), owned.own(sys.epoll_create1())];
  sys.epoll_ctl(inner, sys.EPOLL_CTL_ADD, client, EPOLLIN);
  sys.epoll_ctl(outer, sys.EPOLL_CTL_ADD, inner, EPOLLIN);
  const watches = interestOf(process.pid)?.get(fstatSync(client).ino);
  t.deepEqual(watches, [{ epfd: inner, events: 'EPOLLIN', nested: true }]);
});
