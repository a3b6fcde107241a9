/** That nothing which decodes is forgotten: what reads foreign bytes has a target, or a reason to have none. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { native } from '../../src/syscall/native.js';
import { codeOf } from '../floors/house.js';
import { calls } from './native-calls.js';
import { targets } from './targets.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** How a module reads what it did not write. */
const DECODES =
  /JSON\.parse\(|new DataView\((\w+)\.buffer, \1\.byteOffset|\.read(Big)?U?Int|\.matchAll\(|\.exec\(|readFileSync\(|^(export function| {2}static) (decode|parse|verify)\w*/m;

/** By module of src/: its targets; or why its bytes are no stranger's. */
const modules: Record<string, readonly string[] | string> = {
  'cli.ts': "the package's own manifest",
  'command/bench.ts': ['bench'],
  'command/leftovers.ts': 'numbers of the kernel, and a name that is taken as it is',
  'command/release.ts': 'the words of whoever runs the command',
  'command/scenario-file.ts': "the manifest and the stack of the user's own scenario",
  'command/watchdog-thread.ts': 'the state of a thread of its own, after a name that it skips',
  'command/watch.ts': 'the words of whoever runs the command',
  'diagnose/census.ts': 'a name, taken as it is',
  'diagnose/elf.ts': ['executable'],
  'diagnose/frames.ts': ['inspector'],
  'diagnose/inspector.ts': ['inspector'],
  'diagnose/limits.ts': ['limits'],
  'diagnose/mounts.ts': ['mountinfo'],
  'diagnose/runtime.ts': 'names, in which patterns are looked for',
  'diagnose/source.ts': ['record'],
  'diagnose/watch-ghosts.ts': 'where a link leads, in which nothing is looked for',
  'diagnose/watch.ts': ['stat'],
  'driver/libuv-agent.ts': 'orders of the process that started it',
  'driver/libuv-program.ts': 'whatever is not a report ends the program: see libuv.test.ts',
  'driver/processes.ts': 'numbers of the kernel, behind a name that is passed over',
  'driver/program.ts': 'four bytes of a process that is still a copy of this one',
  'driver/programs.ts': 'a number of the kernel',
  'driver/server.ts': 'a source of this package',
  'driver/teardown-cost.ts': 'a word of the kernel, taken as it is',
  'driver/teardown-reference.ts': 'numbers of the kernel',
  'experiment/bench-arm.ts': 'numbers of the kernel',
  'experiment/bench-compare.ts': ['bench'],
  'experiment/bench-ports.ts': 'numbers of the kernel',
  'experiment/bench-scale.ts': 'numbers of the kernel',
  'experiment/json-value.ts': 'what it has just written itself',
  'observer/bpf-types.ts': ['btf'],
  'observer/clock-map.ts': "two numbers of the process's own",
  'observer/epoll.ts': ['epoll'],
  'observer/privilege.ts': "a set of the process's own",
  'observer/proc.ts': ['stat'],
  'observer/process.ts': ['stat', 'socket link'],
  'observer/trace-source.ts': ['tracepoint format'],
  'scenario/node-destroy-pending.ts': "events of the package's own program",
  'syscall/directory.ts': ['dirents'],
  'syscall/message.ts': ['control'],
  'syscall/option-codec.ts': ['options'],
  'syscall/page-size.ts': 'the auxiliary vector of the process itself',
  'syscall/sockaddr.ts': ['sockaddr'],
  'tcp/address.ts': ['address'],
  'tcp/btf.ts': ['btf'],
  'tcp/checksum.ts': ['frame, raw', 'frame, ethernet'],
  'tcp/ethtool.ts': ['ethtool'],
  'tcp/info.ts': ['tcpInfo'],
  'tcp/netlink.ts': ['netlink', 'sockets'],
  'tcp/packet-filter.ts': 'an address that its caller has parsed',
  'tcp/packet-ring.ts': ['packet ring'],
  'tcp/ring.ts': ['ring, bpf', 'ring, perf'],
  'tcp/rtnetlink.ts': ['link'],
  'tcp/segment.ts': ['frame, raw', 'frame, ethernet'],
  'tcp/tracepoint.ts': ['tracepoint format', 'tracepoint record'],
  'world/privilege.ts': 'numbers of the kernel',
};

test('every module that decodes has a target, or a reason to have none', (t) => {
  const decoding = readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => DECODES.test(codeOf(readFileSync(`${ROOT}src/${file}`, 'utf8'))));
  t.deepEqual(decoding.toSorted(), Object.keys(modules).toSorted());
});

test('and its targets are there', (t) => {
  const named = Object.values(modules).flatMap((each) => (typeof each === 'string' ? [] : each));
  for (const name of named) t.true(Object.hasOwn(targets, name), name);
});

/** The rows of native/os/calls.h with a parameter that leads to bytes. */
const ROW =
  /^ {4}(?:\w+\()*\{?"(\w+)",.*\{k(?:(?:Vector|Message)?(?:In|Out)|InOut|String|Filter), "/gm;

test('every call of the addon that takes bytes is fuzzed', (t) => {
  const table = readFileSync(`${ROOT}native/os/calls.h`, 'utf8');
  // One name may have a row for each machine.
  const taking = [...new Set(Array.from(table.matchAll(ROW), ([, name = '']) => name))];
  t.true(taking.length > 30);
  t.deepEqual(taking.toSorted(), Object.keys(calls).toSorted());
  for (const name of taking) t.true(native.calls.includes(name as 'read'), name);
});
