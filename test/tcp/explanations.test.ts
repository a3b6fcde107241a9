import { readdirSync } from 'node:fs';
import test from 'ava';
import { socketOptions } from '../../src/syscall/option.js';
import { causeOf } from '../../src/tcp/cause.js';
import {
  causeMeanings,
  type ExplainedState,
  explanations,
  stateCalled,
} from '../../src/tcp/explanations.js';
import { tcpStates } from '../../src/tcp/states.js';

const all = Object.entries(explanations) as [
  ExplainedState,
  (typeof explanations)[ExplainedState],
][];

test('every state a socket can be found in is explained', (t) => {
  t.deepEqual(
    all.map(([state]) => state).sort(),
    tcpStates.filter((s) => s !== 'BOUND_INACTIVE').sort(),
  );
});

const spellings: [name: string, state: ExplainedState | undefined][] = [
  ['CLOSE_WAIT', 'CLOSE_WAIT'],
  ['close-wait', 'CLOSE_WAIT'],
  ['Close Wait', 'CLOSE_WAIT'],
  ['ESTAB', 'ESTABLISHED'],
  ['syn-recv', 'SYN_RECV'],
  ['SYN-RECEIVED', 'SYN_RECV'],
  ['FIN-WAIT-1', 'FIN_WAIT1'],
  ['closed', 'CLOSE'],
  ['UNCONN', 'CLOSE'],
  ['listening', 'LISTEN'],
  ['BOUND_INACTIVE', undefined],
  ['constructor', undefined],
  ['', undefined],
];
for (const [name, state] of spellings) {
  test(`${JSON.stringify(name)} is ${state ?? 'no state'}`, (t) => {
    t.is(stateCalled(name), state);
  });
}

test('a cause is named at the state where the classifier finds it, and nowhere else', (t) => {
  const named = all.flatMap(([state, { causes }]) => causes.map((cause) => [cause, state]));
  t.deepEqual(named.map(([cause]) => cause).sort(), Object.keys(causeMeanings).sort());
  for (const [state, { causes }] of all) {
    const held = {
      state,
      recvQ: 0,
      sendQ: 0,
      inode: 7,
      timer: 'off',
      holders: [{ pid: 1, fd: 3 }],
    } as const;
    const found = causeOf(held)?.cause;
    t.is(found !== undefined, causes.length > 0, state);
    if (found !== undefined) t.true(causes.includes(found), `${state}: ${found}`);
  }
});

test('every option and setting it names exists', (t) => {
  const sysctls = new Set([
    ...readdirSync('/proc/sys/net/ipv4'),
    ...readdirSync('/proc/sys/net/core'),
  ]);
  for (const [state, { settings }] of all) {
    for (const { name } of settings) {
      const exists = /^[A-Z]/.test(name) ? Object.hasOwn(socketOptions, name) : sysctls.has(name);
      t.true(exists, `${state}: ${name}`);
    }
  }
});
