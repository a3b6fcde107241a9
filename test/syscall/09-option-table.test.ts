// The tables as a whole: none is missing, none is made up, and what does not fit a row is refused.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as constants from '../../src/syscall/constants.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { fromC, noCompiler, withCompiler } from '../fixture/headers.js';
import { shown, sockets } from '../fixture/option.js';
import { tcp } from '../fixture/sockets.js';

type Name = sys.SocketOptionName;
const rows = sys.socketOptions as Readonly<Record<string, sys.SocketOption<unknown>>>;

// The kernel's headers, with one of ours for what is newer, and the C library's: they do not go together.
const NEWER = fileURLToPath(new URL('../../../native/os/constants_newer.h', import.meta.url));
const headers = [
  ['asm/socket.h', 'linux/in.h', 'linux/in6.h', 'linux/tcp.h', NEWER],
  ['sys/socket.h', 'netinet/in.h', 'netinet/tcp.h'],
];
const isOption = /^#define ((?:SO|IP|IPV6|TCP|MCAST)_[A-Z0-9_]+) /gm;

/** The names of options, with their numbers where `wanted`. */
function named(wanted: (name: string) => boolean = () => false): Map<string, number | undefined> {
  const found = new Map<string, number | undefined>();
  for (const set of headers) {
    const input = set.map((header) => `#include <${header}>\n`).join('');
    const preprocess = ['-D_GNU_SOURCE', '-dM', '-E', '-xc', '-'];
    const macros = spawnSync('cc', preprocess, { input, encoding: 'utf8' }).stdout;
    for (const [, name = ''] of macros.matchAll(isOption)) found.set(name, found.get(name));
    const ifThere = [...found.keys()]
      .filter(wanted)
      .map((name) => `\n#ifdef ${name}\nprintf("${name} %d\\n", ${name});\n#endif\n`);
    for (const line of fromC(set, ifThere.join('')).trim().split('\n')) {
      const [name = '', value] = line.split(' ');
      if (name !== '') found.set(name, Number(value));
    }
  }
  return found;
}

/** Names that look like options and are values of one, or sizes. */
const values: readonly (readonly [pattern: RegExp, of: string])[] = [
  [/^IP_PMTUDISC_/, 'IP_MTU_DISCOVER'],
  [
    /^IP_DEFAULT_MULTICAST_|^IP_MAX_MEMBERSHIPS$|^TCP_(MSS|MAXWIN|MAX_WINSHIFT)/,
    'no option: what holds where nothing is set',
  ],
  [/^IPV6_FL_[AFS]_/, 'IPV6_FLOWLABEL_MGR'],
  [/^IPV6_FLOWINFO_(FLOWLABEL|PRIORITY)$|^IPV6_PRIORITY_/, 'the flow information of an address'],
  [/^IPV6_PMTUDISC_/, 'IPV6_MTU_DISCOVER'],
  [/^IPV6_PREFER_SRC_/, 'IPV6_ADDR_PREFERENCES'],
  [/^IPV6_RTHDR_/, 'a routing header'],
  [/^IPV6_TLV_/, 'an extension header'],
  [/^MCAST_(INCLUDE|EXCLUDE)$/, 'MCAST_MSFILTER'],
  [/^TCP_COOKIE_(?!TRANSACTIONS)|^TCP_S_DATA_/, 'TCP_COOKIE_TRANSACTIONS'],
  [/^TCP_MD5SIG_(FLAG_|MAXKEYLEN)/, 'TCP_MD5SIG_EXT'],
  [/^TCP_RECEIVE_ZEROCOPY_FLAG_/, 'TCP_ZEROCOPY_RECEIVE'],
  [/^TCP_REPAIR_(ON|OFF|OFF_NO_WP)$/, 'TCP_REPAIR'],
];

/** Second names for the number of a row. */
const secondNames: Readonly<Record<string, Name>> = {
  IP_ORIGDSTADDR: 'IP_RECVORIGDSTADDR',
  IP_PMTUDISC: 'IP_MTU_DISCOVER',
  IP_RECVRETOPTS: 'IP_RETOPTS',
  IPV6_ORIGDSTADDR: 'IPV6_RECVORIGDSTADDR',
  IPV6_RXDSTOPTS: 'IPV6_DSTOPTS',
  IPV6_RXHOPOPTS: 'IPV6_HOPOPTS',
  SO_RCVTIMEO_OLD: 'SO_RCVTIMEO',
  SO_SNDTIMEO_OLD: 'SO_SNDTIMEO',
  SO_TIMESTAMP_OLD: 'SO_TIMESTAMP',
  SO_TIMESTAMPING_OLD: 'SO_TIMESTAMPING',
  SO_TIMESTAMPNS_OLD: 'SO_TIMESTAMPNS',
  TCP_CM_INQ: 'TCP_INQ',
};

/** Names with a number that no kernel takes as an option. */
const unheeded: Readonly<Record<string, string>> = {
  IPV6_AUTHHDR: 'never built',
  IPV6_HOPLIMIT: 'a control message: IPV6_RECVHOPLIMIT asks for it',
  IPV6_NEXTHOP: 'never built',
  SO_DEVMEM_DMABUF: 'a control message',
  SO_DEVMEM_LINEAR: 'a control message',
  SO_SECURITY_AUTHENTICATION: 'never built',
  SO_SECURITY_ENCRYPTION_NETWORK: 'never built',
  SO_SECURITY_ENCRYPTION_TRANSPORT: 'never built',
  TCP_COOKIE_TRANSACTIONS: 'gone since Linux 3.10',
};

withCompiler(`every option the headers name has a row, or a reason why not${noCompiler}`, (t) => {
  const names = [...named().keys()];
  t.true(names.length > 250, `${names.length} names`);
  const accounted = (name: string): boolean =>
    [rows, secondNames, unheeded].some((table) => Object.hasOwn(table, name)) ||
    values.some(([pattern]) => pattern.test(name));
  t.deepEqual(
    names.filter((name) => !accounted(name)),
    [],
  );
  t.deepEqual(
    Object.keys(rows).filter((name) => !names.includes(name)),
    [],
    'rows that no header knows',
  );
});

withCompiler(`what an option takes is there by its name, as the option is${noCompiler}`, (t) => {
  // The answer of TCP_ZEROCOPY_RECEIVE is all that its row has: no flags go in.
  const taken = values.filter(([, of]) => Object.hasOwn(rows, of) && of !== 'TCP_ZEROCOPY_RECEIVE');
  const names = [...named().keys()].filter((name) => taken.some(([is]) => is.test(name)));
  t.true(names.length > 30, `${names.length} names`);
  t.deepEqual(
    names.filter((name) => !Number.isInteger(Reflect.get(constants, name))),
    [],
  );
});

withCompiler(`a second name has the number of its row${noCompiler}`, (t) => {
  const numbers = named((name) => Object.hasOwn(secondNames, name));
  for (const [name, row] of Object.entries(secondNames)) {
    t.is(numbers.get(name), rows[row]?.option, name);
  }
});

withCompiler(`what no kernel heeds is not heeded by this one${noCompiler}`, (t) => {
  const owned = ownedBy(t);
  const levels = { SO: sys.SOL_SOCKET, IPV6: sys.IPPROTO_IPV6, TCP: sys.IPPROTO_TCP };
  const numbers = named((name) => Object.hasOwn(unheeded, name));
  t.true(Object.keys(unheeded).some((name) => numbers.get(name) !== undefined));
  for (const name of Object.keys(unheeded)) {
    const option = numbers.get(name);
    if (option === undefined) continue;
    const protocol = name.split('_')[0] as keyof typeof levels;
    const kinds = protocol === 'TCP' ? (['tcp6'] as const) : (['tcp6', 'udp6'] as const);
    for (const kind of kinds) {
      const fd = sockets[kind](owned);
      const level = levels[protocol];
      t.throws(() => sys.getsockopt(fd, level, option), { code: 'ENOPROTOOPT' }, name);
      t.throws(() => sys.setsockopt(fd, level, option, 1), { code: 'ENOPROTOOPT' }, name);
    }
  }
});

test('a row is called as its constant, and is of the level that its name says', (t) => {
  const levels = {
    SO: sys.SOL_SOCKET,
    TCP: sys.IPPROTO_TCP,
    IP: sys.IPPROTO_IP,
    MCAST: sys.IPPROTO_IP,
    IPV6: sys.IPPROTO_IPV6,
  };
  for (const [name, { level, option }] of Object.entries(rows)) {
    t.true(Number.isInteger(option), name);
    t.is(option, Reflect.get(constants, name), name);
    t.is(level, levels[name.split('_')[0] as keyof typeof levels], name);
  }
});

test('an option without a row works with bytes', (t) => {
  const fd = tcp(ownedBy(t));
  const bytes = new Uint8Array(4);
  sys.setsockopt(fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, Uint8Array.of(1, 0, 0, 0));
  t.is(sys.getsockopt(fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, bytes), 4);
  t.deepEqual([...bytes], [1, 0, 0, 0]);
});

const group = '239.255.7.7';
const misfits: [option: Name, value: unknown, message: RegExp][] = [
  ['SO_KEEPALIVE', 1, /^value must be a boolean, received 1$/],
  ['TCP_USER_TIMEOUT', 1.5, /^value must be an integer from -2147483648 to 4294967295/],
  ['TCP_USER_TIMEOUT', '5', /^value must be an integer/],
  ['TCP_USER_TIMEOUT', undefined, /^value must be an integer .* received undefined$/],
  ['SO_MAX_PACING_RATE', 1, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', -1n, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', 2n ** 64n, /^value must be a bigint of 64 bits/],
  ['SO_MAX_PACING_RATE', 'fast', /^value must be a bigint of 64 bits/],
  ['SO_LINGER', { on: true, seconds: -1 }, /^value must be an integer from 0/],
  ['SO_LINGER', { on: true }, /^value must be an integer from 0/],
  ['SO_LINGER', { on: 'no', seconds: 0 }, /^value must be a boolean, received "no"$/],
  ['SO_LINGER', { seconds: 0 }, /^value must be a boolean, received undefined$/],
  ['SO_LINGER', undefined, /^value must be an object, received undefined$/],
  ['SO_RCVTIMEO', -1, /^value must be a number of seconds/],
  ['SO_RCVTIMEO', '1', /^value must be a number of seconds/],
  ['SO_RCVTIMEO', Number.NaN, /^value must be a number of seconds, received NaN/],
  ['SO_TXTIME', { clock: 1 }, /^value must be an integer from 0 to 4294967295, received undefined/],
  ['SO_DEVMEM_DONTNEED', { start: 0, count: 1 }, /^value must be an array/],
  ['SO_ATTACH_FILTER', new Uint8Array(16), /goes through attachFilter/],
  ['SO_ATTACH_REUSEPORT_CBPF', new Uint8Array(16), /goes through attachFilter/],
  ['IP_LOCAL_PORT_RANGE', { low: 1, high: 65536 }, /^value must be an integer from 0 to 65535/],
  ['IP_UNICAST_IF', -1, /^value must be an integer from 0 to 2147483647/],
  ['IP_ADD_MEMBERSHIP', undefined, /^value must be an object, received undefined$/],
  ['IP_MULTICAST_IF', null, /^value must be an object, received null$/],
  ['IP_ADD_MEMBERSHIP', { group: '::1' }, /^address must be an IPv4 address without a scope/],
  ['IP_ADD_MEMBERSHIP', { group: 'all' }, /^address must be an IPv4 or IPv6 address in numbers/],
  ['IP_ADD_MEMBERSHIP', { group, interface: -1 }, /^value must be an integer from 0/],
  ['IP_MSFILTER', { group, mode: 2, sources: [] }, /^value must be an integer from 0 to 1/],
  ['IP_MSFILTER', { group, mode: 0 }, /^sources must be an array of addresses/],
  ['IPV6_JOIN_GROUP', { group }, /^address must be an IPv6 address without a scope/],
  ['IPV6_JOIN_GROUP', { group: 'ff02::1%1' }, /^address must be an IPv6 address without a scope/],
  ['IPV6_2292PKTOPTIONS', 5, /^value must be an array/],
  ['TCP_MD5SIG', { address: '::1', key: new Uint8Array(81) }, /^key must be at most 80 bytes/],
  ['TCP_MD5SIG', { address: '::1', key: 'secret' }, /^key must be at most 80 bytes/],
  ['TCP_CONGESTION', 5, /^value must be a string/],
  ['TCP_CONGESTION', undefined, /^value must be a string/],
  ['IP_OPTIONS', 'x', /^setsockopt: value must be a typed array/],
  ['NO_SUCH_OPTION' as Name, 1, /^option must be a name in socketOptions/],
  ['toString' as Name, 1, /^option must be a name in socketOptions/],
];
for (const [option, value, message] of misfits) {
  test(`setOption() refuses ${option} ${typeof value} ${shown(value)}`, (t) => {
    const error = t.throws(() => sys.setOption(tcp(ownedBy(t)), option, value as never), {
      message,
    });
    t.true(error instanceof TypeError || error instanceof RangeError);
  });
}

test('getOption() refuses a question that is none', (t) => {
  const fd = sockets.udp4(ownedBy(t));
  const ask = sys.getOption as (fd: number, name: Name, about?: unknown) => unknown;
  t.throws(() => ask(fd, 'IP_MSFILTER'), {
    message: /^value must be an object, received undefined$/,
  });
  t.throws(() => ask(fd, 'IP_MSFILTER', {}), { message: /^address must be/ });
  t.throws(() => ask(fd, 'MCAST_MSFILTER', { group: 5 }), { message: /^address must be/ });
  t.throws(() => ask(fd, 'IPV6_FLOWLABEL_MGR', {}), { message: /^value must be an integer/ });
});
