import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { basename } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { snapshot } from '../../src/observer/sock-diag.js';
import { formatNetstat, type NetstatRow } from '../../src/report/netstat.js';
import { AF_INET, AF_INET6 } from '../../src/tcp/address.js';
import { until } from '../fixture/until.js';

const line = (row: NetstatRow) => formatNetstat([row]).split('\n')[2];

const base: NetstatRow = {
  family: AF_INET,
  recvQ: 0,
  sendQ: 0,
  local: { address: '127.0.0.1', port: 9000 },
  remote: { address: '127.0.0.1', port: 46098 },
  state: 'CLOSE_WAIT',
  owner: { pid: 4321, program: 'server' },
};

for (const { name, row, expected } of [
  {
    name: 'a CLOSE_WAIT and its owner',
    row: { recvQ: 1 },
    expected:
      'tcp        1      0 127.0.0.1:9000          127.0.0.1:46098         CLOSE_WAIT  4321/server         ',
  },
  {
    name: 'a program whose name would paint the terminal',
    row: { owner: { pid: 4321, program: '\x1b[31mserver\n' } },
    expected:
      'tcp        0      0 127.0.0.1:9000          127.0.0.1:46098         CLOSE_WAIT  4321/?[31mserver?   ',
  },
  {
    name: 'a FIN_WAIT2 that nobody owns',
    row: { state: 'FIN_WAIT2', owner: undefined },
    expected:
      'tcp        0      0 127.0.0.1:9000          127.0.0.1:46098         FIN_WAIT2   -                   ',
  },
  {
    name: 'a listener, whose backlog /proc does not show',
    row: {
      state: 'LISTEN',
      sendQ: 511,
      local: { address: '0.0.0.0', port: 9000 },
      remote: { address: '0.0.0.0', port: 0 },
    },
    expected:
      'tcp        0      0 0.0.0.0:9000            0.0.0.0:*               LISTEN      4321/server         ',
  },
  {
    name: 'an IPv6 listener',
    row: {
      family: AF_INET6,
      state: 'LISTEN',
      local: { address: '::', port: 9000 },
      remote: { address: '::', port: 0 },
    },
    expected:
      'tcp6       0      0 :::9000                 :::*                    LISTEN      4321/server         ',
  },
  {
    name: 'a long program and long queues',
    row: { recvQ: 12_345_678, sendQ: 7, owner: { pid: 1_234_567, program: 'a-long-program-name' } },
    expected:
      'tcp   12345678      7 127.0.0.1:9000          127.0.0.1:46098         CLOSE_WAIT  1234567/a-long-prog ',
  },
  {
    // 5 bytes of pid and slash, 4 characters of 3 bytes, and of the fifth 2 bytes.
    name: 'a program in letters of several bytes: the column is 20 bytes wide',
    row: { owner: { pid: 4321, program: '한글이름서버' } },
    expected:
      'tcp        0      0 127.0.0.1:9000          127.0.0.1:46098         CLOSE_WAIT  4321/한글이름   ',
  },
  {
    name: 'an address too long for its column',
    row: {
      family: AF_INET6,
      local: { address: '2001:db8:1234:5678:9abc:def0:1:2', port: 9000 },
      remote: { address: '2001:db8::1', port: 46098 },
    },
    expected:
      'tcp6       0      0 2001:db8:1234:5678:9000 2001:db8::1:46098       CLOSE_WAIT  4321/server         ',
  },
] as const) {
  test(name, (t) => {
    const { owner, ...rest } = { ...base, ...row };
    t.is(line(owner === undefined ? rest : { ...rest, owner }), expected);
  });
}

const probe = spawnSync('netstat', ['--version']);
const hasNetstat = probe.error === undefined;
const withNetstat = hasNetstat ? test : test.skip;
const suffix = hasNetstat ? '' : ' (needs netstat: not installed)';

interface Pair {
  server: Server;
  client: Socket;
  accepted: Socket;
}

async function open(t: ExecutionContext, bound: string, to: string): Promise<Pair> {
  const server = createServer({ pauseOnConnect: true }).listen(0, bound);
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, to);
  const [[accepted]] = (await Promise.all([
    once(server, 'connection'),
    once(client, 'connect'),
  ])) as [[Socket], unknown];
  t.teardown(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return { server, client, accepted };
}

/** Waits until the kernel has taken all that a socket wrote to the other end, where nobody reads it. */
async function unreadAndAcknowledged({ localPort, remotePort }: Socket, bytes: number) {
  const queues = (from?: number, to?: number) =>
    [...snapshot()].find(({ local, remote }) => local.port === from && remote.port === to);
  const look = () => [queues(localPort, remotePort)?.sendQ, queues(remotePort, localPort)?.recvQ];
  await until(
    () => look().join() === `0,${bytes}`,
    () => `Send-Q, Recv-Q: ${look().join()}`,
  );
}

const owner = { pid: process.pid, program: basename(process.title.split(' ')[0] ?? '') };

function endpoints(socket: Socket): Pick<NetstatRow, 'local' | 'remote'> {
  return {
    local: { address: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    remote: { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
  };
}

for (const { name, bound, to, any, family, serverFamily } of [
  {
    name: '127.0.0.1',
    bound: '127.0.0.1',
    to: '127.0.0.1',
    any: '0.0.0.0',
    family: AF_INET,
    serverFamily: AF_INET,
  },
  { name: '::1', bound: '::1', to: '::1', any: '::', family: AF_INET6, serverFamily: AF_INET6 },
  {
    name: 'IPv4-mapped',
    bound: '::',
    to: '127.0.0.1',
    any: '::',
    family: AF_INET,
    serverFamily: AF_INET6,
  },
]) {
  withNetstat(`what netstat prints for the same sockets: ${name}${suffix}`, async (t) => {
    const { server, client, accepted } = await open(t, bound, to);
    await new Promise((resolve) => client.write('unread', resolve));
    await unreadAndAcknowledged(client, 6);
    const { stdout } = spawnSync('netstat', ['-antp'], { maxBuffer: Number.POSITIVE_INFINITY });
    const printed = String(stdout).split('\n');
    const common = { recvQ: 0, sendQ: 0, state: 'ESTABLISHED', owner } as const;
    const rows: NetstatRow[] = [
      {
        ...common,
        family: serverFamily,
        state: 'LISTEN',
        local: { address: bound, port: (server.address() as AddressInfo).port },
        remote: { address: any, port: 0 },
      },
      { ...common, family, ...endpoints(client) },
      { ...common, family: serverFamily, ...endpoints(accepted), recvQ: 6 },
    ];
    const [title, header, ...lines] = formatNetstat(rows).trimEnd().split('\n');
    t.is(printed[0], title);
    t.is(printed[1], header);
    t.is(lines.length, 3);
    for (const expected of lines) {
      const found = printed.some((one) => one.trimEnd() === expected.trimEnd());
      t.true(found, `${expected}\nis not in\n${stdout}`);
    }
  });
}
