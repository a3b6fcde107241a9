import ava from 'ava';
import { catalogue } from '../../src/scenario/catalogue.js';
import { explanations } from '../../src/tcp/explanations.js';
import { noTool } from '../world/ability.js';
import { closewait, finished } from './closewait.js';

// Each starts a process or more: all at once they would take turns anyway.
const test = ava.serial;

test('a state: what it means, who must act, the way out, how to see it, and the scenarios', (t) => {
  const { code, stdout, stderr } = closewait('explain', 'CLOSE_WAIT');
  t.is(code, 0);
  t.is(stderr, '');
  const parts = [
    /^CLOSE_WAIT\n/,
    /^who must act +the application of this end$/m,
    /^way out +close\(\)/m,
    /^timer +none/m,
    /^settings +SO_KEEPALIVE: /m,
    /^causes +eof-unread: /m,
    /^ +not-closed: /m,
    /^see it +ss -tan state close-wait$/m,
    /^run it +closewait run close-wait$/m,
    /^ESTABLISHED +-> CLOSE_WAIT +rcv FIN \/ \. +close-wait\b/m,
    /^CLOSE_WAIT +-> LAST_ACK +close\(\)/m,
  ];
  for (const part of parts) t.regex(stdout, part);
  for (const line of stdout.split('\n').slice(0, 8)) t.true(line.length <= 80, line);
});

for (const name of ['FIN_WAIT2', 'fin_wait2', 'fin-wait-2', 'FIN-WAIT-2', 'finwait2']) {
  test(`a state may be called ${name}`, (t) => {
    const { code, stdout } = closewait('explain', name, '--json');
    t.is(code, 0);
    t.is(JSON.parse(stdout).state.state, 'FIN_WAIT2');
  });
}

const shows: Readonly<Record<string, string>> = {
  LISTEN: 'listener-closed',
  SYN_SENT: 'syn-sent',
  SYN_RECV: 'syn-recv',
  ESTABLISHED: 'silent-death',
  FIN_WAIT1: 'zero-window-fin-wait1',
  FIN_WAIT2: 'fin-wait2-expiry',
  CLOSE_WAIT: 'close-wait',
  CLOSING: 'closing',
  LAST_ACK: 'last-ack-stuck',
  TIME_WAIT: 'normal',
  CLOSE: 'rst-before-accept',
};

test('to see a state, the scenario that is about it: not any that passes through', (t) => {
  for (const [state, first] of Object.entries(shows)) {
    t.is(JSON.parse(closewait('explain', state, '--json').stdout).state.scenarios[0], first);
  }
  const { stdout } = closewait('explain', 'ESTABLISHED');
  t.regex(stdout, /^also in +[\w-]+, [^.]* and \d+ more$/m);
});

test('CLOSE is in no table: ss is not named for it', (t) => {
  const { stdout } = closewait('explain', 'CLOSE');
  t.regex(stdout, /^see it +`closewait diagnose`/m);
  t.notRegex(stdout, /ss -tan/);
});

test('a name of both: the state, then the scenario', (t) => {
  const { stdout } = closewait('explain', 'close-wait');
  t.regex(stdout, /^CLOSE_WAIT\n[\s\S]*\n\nclose-wait: CLOSE_WAIT: /);
  const { state, scenario } = JSON.parse(closewait('explain', 'close-wait', '--json').stdout);
  t.is(state.state, 'CLOSE_WAIT');
  t.is(scenario.name, 'close-wait');
});

test('a cause, as diagnose names it: the state that it keeps a socket in', (t) => {
  for (const [cause, state] of [
    ['not-closed', 'CLOSE_WAIT'],
    ['ghost', 'CLOSE'],
    ['peer-never-closes', 'FIN_WAIT2'],
  ] as const) {
    const { code, stdout } = closewait('explain', cause);
    t.is(code, 0);
    t.true(stdout.startsWith(`${state}\n`), stdout);
    t.regex(stdout, new RegExp(`^(?:causes)? +${cause}: `, 'm'));
  }
});

test('a scenario: title, source, path, drivers and what it takes', (t) => {
  const { code, stdout } = closewait('explain', 'fin-wait2-expiry');
  t.is(code, 0);
  for (const part of [
    /^fin-wait2-expiry: FIN_WAIT2 expires to nothing/,
    /^client +SYN_SENT > ESTABLISHED > FIN_WAIT1 > FIN_WAIT2 > CLOSE$/m,
    /^source +tcp\(7\)/m,
    /^drivers +raw/m,
    /^needs +a network namespace of its own; net\/ipv4\/tcp_fin_timeout = 1$/m,
    /^run it +closewait run fin-wait2-expiry$/m,
  ]) {
    t.regex(stdout, part);
  }
});

test('every state and every scenario can be explained; what they name exists', (t) => {
  const names = catalogue.map(({ name }) => name);
  for (const name of Object.keys(explanations)) {
    const { state } = JSON.parse(closewait('explain', name, '--json').stdout);
    t.is(state.state, name);
    for (const each of state.scenarios) t.true(names.includes(each));
  }
  const [first = ''] = names;
  t.is(JSON.parse(closewait('explain', first, '--json').stdout).scenario.name, first);
});

test('no name: the whole diagram, and which scenarios cross which edge', (t) => {
  const { code, stdout } = closewait('explain');
  t.is(code, 0);
  t.regex(stdout, /^ESTABLISHED +-> CLOSE_WAIT +rcv FIN \/ \. +close-wait\b/m);
  t.regex(stdout, /not in Linux: /);
  const { transitions } = JSON.parse(closewait('explain', '--json').stdout);
  t.is(transitions.length, stdout.trimEnd().split('\n').length);
});

for (const { name, says } of [
  { name: 'closd', says: /no state, scenario or cause "closd" \(did you mean CLOSE\?\)/ },
  { name: 'fin-wait2-expire', says: /\(did you mean fin-wait2-expiry\?\)/ },
  {
    name: 'constantinople',
    says: /no state, scenario or cause "constantinople"; `closewait list`/,
  },
]) {
  test(`usage: ${name}: exit 2, said on stderr`, (t) => {
    const { code, stdout, stderr } = closewait('explain', name);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.notRegex(stderr, /^\s+at /m);
  });
}

const noSs = noTool('ss');
const asked = noSs === undefined ? test : test.skip;

asked(`ss takes every filter that is told${noSs ? ` (${noSs})` : ''}`, (t) => {
  for (const [state, { filter }] of Object.entries(explanations)) {
    if (filter === undefined) continue;
    const { code, stderr } = finished(['ss', '-Htan', 'state', filter, 'sport', '=', '1']);
    t.is(code, 0, `${state}: ${stderr}`);
  }
});
