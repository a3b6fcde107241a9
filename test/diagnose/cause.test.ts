import { inspect } from 'node:util';
import type { ExecutionContext } from 'ava';
import { diagnose } from '../../src/diagnose/diagnose.js';
import * as sys from '../../src/syscall/sys.js';
import { type Cause, isLeak } from '../../src/tcp/cause.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { testUnless } from '../world/ability.js';
import { causes, type Language, languages, leaking, states } from './servers.js';

/** Evidence that must be given, besides the cause itself. */
const evidence: Readonly<Record<Cause, RegExp>> = {
  'eof-unread': /Recv-Q 7: 6 bytes and the FIN are unread/,
  'not-closed': /Recv-Q 0: everything was read/,
  'never-accepted': /1 connections wait at the listener/,
  'shared-fd': /2 holders/,
  'still-sending': /Send-Q \d+: written, not yet acknowledged/,
  ghost: /TCP_INFO counts a delivered SYN/,
  'peer-never-closes': /timer off/,
};

async function leak(t: ExecutionContext, language: Language, cause: Cause): Promise<void> {
  const { program, port } = await leaking(t, ownedBy(t), language, cause);
  const { pid } = program;
  const { sockets, counts, processes } = await diagnose({ pids: [pid], settleMs: 200 });
  t.is(sockets.length, 1, JSON.stringify(counts));
  const [socket] = sockets;
  if (socket === undefined) return;
  t.is(socket.cause, cause);
  t.is(socket.state, states[cause]);
  t.is(socket.leak, isLeak(cause));
  t.regex(socket.evidence.join('\n'), evidence[cause]);
  t.is(socket.pid, pid);
  t.deepEqual(socket.local, { address: '127.0.0.1', port });
  t.is(socket.remote?.address, '127.0.0.1');
  t.is(socket.runtime, language.runtime);
  t.true(socket.ageMs >= 0 && socket.ageMs < 60_000, `${socket.ageMs} ms`);
  t.true(socket.advice.length > 0);
  t.deepEqual(
    socket.holders.map((each) => each.pid === pid),
    cause === 'shared-fd' ? [true, false] : [true],
  );
  t.is(counts[cause], 1);
  t.is(counts.leaks, isLeak(cause) ? 1 : 0);
  t.true(processes.some((each) => each.pid === pid && each.threads.length > 0));

  // The copy that told the ghost was closed again: the program's own close() is still its last.
  t.true(program.stdout.includes('done'));
  program.endInput();
  t.is(await program.end(), 0);
}

for (const language of languages) {
  for (const cause of causes) {
    if (language.not?.includes(cause)) continue;
    testUnless(language.missing, `${language.name}: ${cause}`, (t) => leak(t, language, cause));
  }
}

test('a descriptor held twice by one process: shared-fd, both copies named', async (t) => {
  const owned = ownedBy(t);
  const listener = owned.own(sys.socket(sys.AF_INET6, sys.SOCK_STREAM));
  sys.bind(listener, { address: '::1', port: 0 });
  sys.listen(listener, 1);
  const { port } = sys.getsockname(listener);
  const client = owned.own(sys.socket(sys.AF_INET6, sys.SOCK_STREAM));
  sys.connect(client, { address: '::1', port });
  const { fd } = sys.accept(listener);
  owned.own(fd);
  const copy = owned.own(sys.dup(fd));
  owned.close(client);
  t.is(sys.read(fd, new Uint8Array(1)), 0);
  const { sockets } = await diagnose({ pids: [process.pid], ports: [port], settleMs: 100 });
  t.is(sockets.length, 1);
  t.like(sockets[0], { cause: 'shared-fd', listener: { address: '::1', port } });
  t.deepEqual(
    sockets[0]?.holders.map((each) => each.fd),
    [fd, copy].sort((a, b) => a - b),
  );
  const shown = inspect(sockets[0]);
  for (const part of [/cause: 'shared-fd'/, /state: 'CLOSE_WAIT'/, /advice: /])
    t.regex(shown, part);
});

test('sockets that were never connected are no ghosts', async (t) => {
  const owned = ownedBy(t);
  owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  const bound = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  sys.bind(bound, { address: '127.0.0.1', port: 0 });
  const refused = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
  t.throws(() => sys.connect(refused, sys.getsockname(bound)), { code: 'ECONNREFUSED' });
  const later = owned.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM | sys.SOCK_NONBLOCK));
  t.throws(() => sys.connect(later, sys.getsockname(bound)), { code: 'EINPROGRESS' });
  const { counts } = await diagnose({ pids: [process.pid], settleMs: 100 });
  t.is(counts.ghost, 0);
});
