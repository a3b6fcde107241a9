/** Networks as a plain user makes them, and what is left of those whose maker was killed: both in processes of their own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ExecutionContext } from 'ava';
import { finished } from '../cli/closewait.js';
import { Program } from '../driver/programs.js';
import { keepersOf, Traces } from '../experiment/traces.js';
import { installed, noPlainUser, PLAIN } from '../fixture/installed.js';
import { until } from '../fixture/until.js';
import { noNamespace, noUserNamespace, testUnless } from './ability.js';

/** A program that has `sys`, `Network` and so on of the package in a folder. */
function script(root: string, body: string): string {
  const module = (path: string) =>
    `await import(${JSON.stringify(pathToFileURL(join(root, 'dist/src', path)).href)})`;
  return `
    const sys = ${module('syscall/sys.js')};
    const { tcpInfo, tcpState } = ${module('observer/tcp-info.js')};
    const { enterNamespaces } = ${module('world/enter.js')};
    const { Interfaces } = ${module('world/interfaces.js')};
    const { Network } = ${module('world/network.js')};
    ${body}`;
}

const node = (code: string): string[] => [process.execPath, '--input-type=module', '-e', code];

/** The same program as root of a user namespace. */
const entered = (root: string, code: string): string[] =>
  node(
    script(
      root,
      `const { exitCode } = await enterNamespaces(process.execPath, ${JSON.stringify(node(code))});
       process.exitCode = await exitCode;`,
    ),
  );

const CONNECT = `
  const listening = await network.server.actor('server');
  const listener = await listening.socket(sys.AF_INET, sys.SOCK_STREAM);
  await listening.bind(listener, { address: network.server.addresses[4], port: 0 });
  await listening.listen(listener, 1);
  const connecting = await network.client.actor('client');
  const client = await connecting.socket(sys.AF_INET, sys.SOCK_STREAM);
  await connecting.connect(client, await listening.getsockname(listener));
  const { fd: server } = await listening.accept(listener);`;

testUnless(
  noPlainUser ?? noUserNamespace,
  'a plain user, inside: two hosts, a link, a FIN that is lost',
  (t) => {
    const root = installed(t);
    const code = script(
      root,
      `const network = await Network.open({ link: true });
       ${CONNECT}
       const lost = network.link.drop({ flags: 'F', nth: 1 });
       network.link.pause();
       await connecting.shutdown(client, sys.SHUT_WR);
       await lost.hit;
       const path = [tcpState(client)];
       network.link.resume();
       await listening.read(server, new Uint8Array(1));
       while (tcpState(client) === 'FIN_WAIT1') await new Promise(setImmediate);
       path.push(tcpState(client));
       await network.client.setSysctl('net/ipv4/tcp_fin_timeout', '7');
       const wasSentAgain = tcpInfo(client).totalRetrans >= 1;
       const { privilege, link: { lost: mislaid } } = network;
       process.stdout.write(JSON.stringify({ path, wasSentAgain, mislaid, privilege }));
       await network.close();`,
    );
    const { code: exit, stdout, stderr } = finished([...PLAIN, ...entered(root, code)]);
    t.is(stderr, '');
    t.deepEqual(JSON.parse(stdout), {
      path: ['FIN_WAIT1', 'FIN_WAIT2'],
      wasSentAgain: true,
      mislaid: 0,
      privilege: 'user-namespace',
    });
    t.is(exit, 0);
    return Promise.resolve();
  },
);

testUnless(
  noPlainUser,
  'a plain user, outside: refused, with the errno and in words',
  async (t) => {
    const root = installed(t);
    const code = script(
      root,
      `const said = (error) => [error.syscall, error.code];
     const actor = await sys.Actor.start();
     const interfaces = await Interfaces.open(actor);
     const loopback = (await interfaces.find('lo')).name;
     const refusals = [
       await Network.open().catch(said),
       await interfaces.createVeth({ name: 'a' }, { name: 'b' }).catch(said),
       await interfaces.addAddress('lo', '127.1.2.3', 32).catch(said),
     ];
     process.stdout.write(JSON.stringify({ loopback, refusals }));`,
    );
    const { stdout, stderr } = finished([...PLAIN, ...node(code)]);
    t.is(stderr, '');
    t.deepEqual(JSON.parse(stdout), {
      loopback: 'lo',
      refusals: [
        ['unshare', 'EPERM'],
        ['RTM_NEWLINK', 'EPERM'],
        ['RTM_NEWADDR', 'EPERM'],
      ],
    });
  },
);

/** Kills a program that has networks, with connections and a held segment, and looks for what is left. */
async function killed(t: ExecutionContext, command: (code: string) => string[], root: string) {
  const interfaces = readFileSync('/proc/net/dev', 'utf8').match(/^ *\S+:/gm);
  const code = script(
    root,
    `const network = await Network.open({ link: true });
     const other = await Network.open();
     ${CONNECT}
     network.link.pause();
     await connecting.write(client, 'held');
     connecting.read(client, new Uint8Array(1));
     // Whom nobody refers to any more are collected, and their actors' threads end.
     globalThis.kept = [network, other];
     const inodes = [network, other].flatMap(({ client, server }) => [client.inode, server.inode]);
     process.stdout.write(JSON.stringify(inodes) + '\\n');`,
  );
  const traces = new Traces();
  const program = new Program(t, traces.marked(command(code)));
  const [line] = await program.shows('stdout', /^\[.*\]\n/);
  const names = (JSON.parse(line) as number[]).map((inode) => `net:[${inode}]`);
  t.is(new Set(names).size, 4);
  // Who diagnoses all namespaces of the machine, as other tests do, keeps them for a moment.
  await until(
    () => names.every((name) => keepersOf(name).length === 1),
    () => names.map((name) => `${name} kept by ${keepersOf(name)}`).join(', '),
  );
  // All are held: once a namespace is gone, its number may be another's.
  for (const name of names) t.true(traces.namespaces.includes(name), name);
  program.signal('SIGKILL');
  t.is(await program.end(), 'SIGKILL');
  await traces.gone();
  t.deepEqual(readFileSync('/proc/net/dev', 'utf8').match(/^ *\S+:/gm), interfaces);
}

testUnless(noNamespace, 'SIGKILL leaves no namespace and no interface', async (t) => {
  const root = installed(t);
  await killed(t, node, root);
});

testUnless(
  noPlainUser ?? noUserNamespace,
  'SIGKILL leaves nothing of a plain user either, inside',
  async (t) => {
    const root = installed(t);
    await killed(t, (code) => [...PLAIN, ...entered(root, code)], root);
  },
);
