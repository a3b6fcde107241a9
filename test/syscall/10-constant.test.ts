import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as constants from '../../src/syscall/constants.js';
import * as errnos from '../../src/syscall/errno.js';
import * as sys from '../../src/syscall/sys.js';
import { tcpStates } from '../../src/tcp/states.js';
import { ownedBy, test } from '../fixture/descriptors.js';

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const withCompiler = hasCompiler ? test : test.skip;
const note = hasCompiler ? '' : ' (skipped: no C compiler here)';

const LIBRARY = [
  ...['arpa/inet.h', 'dirent.h', 'errno.h', 'fcntl.h', 'linux/errqueue.h', 'linux/filter.h'],
  ...['linux/if_ether.h', 'linux/if_packet.h', 'linux/inet_diag.h', 'linux/net_tstamp.h'],
  ...['linux/netlink.h', 'linux/pkt_sched.h', 'linux/sock_diag.h', 'linux/socket.h'],
  ...['linux/sockios.h', 'net/if.h', 'netinet/in.h', 'netinet/ip.h', 'netinet/tcp.h', 'poll.h'],
  ...['sched.h', 'signal.h', 'spawn.h', 'sys/epoll.h', 'sys/eventfd.h'],
  ...['sys/ioctl.h', 'sys/socket.h', 'sys/syscall.h', 'sys/wait.h', 'time.h', 'unistd.h'],
];
// They define structs that the C library's headers define, too: names of theirs only, and by themselves.
const KERNEL = ['linux/in.h', 'linux/in6.h', 'linux/tcp.h', 'linux/wait.h'];
// What these lack: the same values are in newer headers, so that they count where there are such.
const NEWER = fileURLToPath(new URL('../../../native/os/constants_newer.h', import.meta.url));

const states = new Set(tcpStates.map((state) => `TCP_${state}`));
/** Whether a name is an enumerator that these headers have: the preprocessor does not know it. */
const isEnumerator = (name: string, headers: readonly string[]): boolean =>
  headers === LIBRARY
    ? /^SOF_|^SCM_TSTAMP_/.test(name) || states.has(name)
    : headers === KERNEL && /^TCP_(NO|RECV|SEND)_QUEUE$/.test(name);

/** The names that are defined, with their values, as one C program prints them. */
function fromHeaders(names: readonly string[], headers: readonly string[]): Map<string, number> {
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  try {
    const source = join(directory, 'constants.c');
    const program = join(directory, 'constants');
    writeFileSync(
      source,
      [
        '#define _GNU_SOURCE',
        ...headers.map((header) => `#include <${header}>`),
        '#include <stdio.h>',
        '#define SHOW(name) printf("%s %lld\\n", #name, (long long)(name));',
        'int main(void) {',
        ...names.map((name) =>
          // SHUT_RD and its like are macros of themselves; enumerators are not.
          isEnumerator(name, headers)
            ? `SHOW(${name})`
            : `#ifdef ${name}\nprintf("%s %lld\\n", "${name}", (long long)(${name}));\n#endif`,
        ),
        'return 0; }',
      ].join('\n'),
    );
    for (const command of [['cc', '-w', '-o', program, source], [program]]) {
      const { status, stdout, stderr } = spawnSync(command[0] ?? '', command.slice(1), {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      if (command.length > 1) continue;
      return new Map(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.split(' ') as [string, string])
          .map(([name, value]) => [name, Number(value)]),
      );
    }
    throw new Error('unreachable');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const numbers = (module: object): Map<string, number | undefined> =>
  new Map(
    Object.entries(module).filter(
      ([name, value]) => typeof value !== 'function' && /^[A-Z]/.test(name),
    ),
  );

withCompiler(`every constant is the header's${note}`, (t) => {
  const ours = numbers(constants);
  const names = [...ours.keys()];
  const newer = fromHeaders(names, [NEWER]);
  const theirs = new Map([...newer, ...fromHeaders(names, KERNEL), ...fromHeaders(names, LIBRARY)]);
  t.true(names.length > 400, `${names.length} constants`);
  t.true(theirs.size > 400, `${theirs.size} of them in the headers`);
  t.deepEqual(
    names.map((name) => [name, ours.get(name)]),
    names.map((name) => [name, theirs.get(name)]),
  );
});

withCompiler(`every errno is the header's, and every one of the header's is there${note}`, (t) => {
  const ours = numbers(errnos);
  const names = [...ours.keys()];
  t.deepEqual(ours, fromHeaders(names, ['errno.h']));
  const macros = spawnSync('cc', ['-dM', '-E', '-xc', '-'], {
    input: '#include <errno.h>',
    encoding: 'utf8',
  }).stdout;
  const defined = [...macros.matchAll(/^#define (E[A-Z0-9]+) /gm)].map(([, name]) => name ?? '');
  t.true(defined.length > 100);
  t.deepEqual(
    defined.filter((name) => !ours.has(name)),
    [],
  );
});

withCompiler(`syscallName() is the header's${note}`, (t) => {
  const macros = spawnSync('cc', ['-dM', '-E', '-xc', '-'], {
    input: '#include <sys/syscall.h>',
    encoding: 'utf8',
  }).stdout;
  const names = [...macros.matchAll(/^#define SYS_(\w+) /gm)].map(([, name]) => name ?? '');
  const numbered = fromHeaders(
    names.map((name) => `SYS_${name}`),
    ['sys/syscall.h'],
  );
  t.true(names.length > 250);
  for (const [name, number] of numbered) {
    t.is(sys.syscallName(number), name.slice('SYS_'.length));
  }
});

withCompiler(`errnoText() is strerror(3)'s${note}`, (t) => {
  const ours = [...numbers(errnos)].map(([name]) => name);
  const directory = mkdtempSync(join(tmpdir(), 'closewait-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const program = join(directory, 'words');
  const source = `#include <errno.h>\n#include <stdio.h>\n#include <string.h>
    int main(void) { ${ours.map((name) => `puts(strerror(${name}));`).join('\n')} return 0; }`;
  const built = spawnSync('cc', ['-xc', '-o', program, '-'], { input: source, encoding: 'utf8' });
  t.is(built.status, 0, built.stderr);
  const words = spawnSync(program, { encoding: 'utf8', env: { LC_ALL: 'C' } }).stdout;
  t.deepEqual(
    ours.map((name) => sys.errnoText(Reflect.get(errnos, name)).toLowerCase()),
    words.trim().toLowerCase().split('\n'),
  );
});

test('no constant is anything but an integer or absent', (t) => {
  for (const [name, value] of [...numbers(constants), ...numbers(errnos)]) {
    t.true(value === undefined || Number.isInteger(value), name);
  }
});

test('what the kernel says agrees: a socket of AF_INET6 reads its domain back', (t) => {
  const fd = ownedBy(t).own(sys.socket(constants.AF_INET6, constants.SOCK_DGRAM));
  t.is(sys.getsockopt(fd, constants.SOL_SOCKET, constants.SO_DOMAIN), constants.AF_INET6);
});
