import test from 'ava';
import type { ObserverReport } from '../../src/experiment/record.js';
import { Unseen } from '../../src/report/unseen.js';

const sees = (name: string): ObserverReport => ({ name, available: true });
const blind = (name: string, reason: string): ObserverReport => ({
  ...{ name, available: false, reason },
});

const rows: {
  title: string;
  runs: (readonly ObserverReport[])[];
  lines: string[];
}[] = [
  { title: 'no run', runs: [], lines: [] },
  { title: 'all was seen', runs: [[sees('capture'), sees('tracepoint')]], lines: [] },
  {
    title: 'of one run, a line for each observer',
    runs: [[blind('capture', 'needs CAP_NET_RAW'), blind('tracepoint', 'needs CAP_BPF')]],
    lines: ['not seen: capture: needs CAP_NET_RAW', 'not seen: tracepoint: needs CAP_BPF'],
  },
  {
    title: 'of several, once',
    runs: [[blind('capture', 'EPERM')], [blind('capture', 'EPERM')], [blind('capture', 'EPERM')]],
    lines: ['not seen: capture: EPERM'],
  },
  {
    title: 'one that was skipped is none that saw',
    runs: [[], [blind('capture', 'EPERM')], []],
    lines: ['not seen: capture: EPERM'],
  },
  {
    title: 'not in all of them, or for several reasons: in how many',
    runs: [[sees('capture')], [blind('capture', 'EPERM')], [blind('capture', 'ENODEV')]],
    lines: ['not seen in 1 of 3 runs: capture: EPERM', 'not seen in 1 of 3 runs: capture: ENODEV'],
  },
];

for (const { title, runs, lines } of rows) {
  test(title, (t) => {
    const unseen = new Unseen();
    for (const observers of runs) unseen.add({ observers });
    t.deepEqual(unseen.lines, lines);
  });
}
