/** Every edge of the state diagram is crossed by some scenario, and no scenario leaves the diagram. */
import test from 'ava';
import { formatDiagram } from '../../src/report/diagram.js';
import { catalogue } from '../../src/scenario/catalogue.js';
import type { Scenario } from '../../src/scenario/scenario.js';
import {
  type DiagramEdge,
  diagram,
  edgeBetween,
  type Step,
  stepsOf,
} from '../../src/tcp/diagram.js';
import { tcpStates } from '../../src/tcp/states.js';

const stepsIn = ({ path, listener }: Scenario): Step[] =>
  [path.client, path.server, listener].flatMap((each) => stepsOf(each ?? []));

const crossings = new Map<DiagramEdge, string[]>(diagram.map((edge) => [edge, []]));
for (const scenario of catalogue) {
  const edges = new Set(stepsIn(scenario).map(([from, to]) => edgeBetween(from, to)));
  for (const edge of edges) if (edge !== undefined) crossings.get(edge)?.push(scenario.name);
}

test('every edge that Linux has is crossed by a scenario', (t) => {
  t.log(`\n${formatDiagram(diagram, crossings)}`);
  for (const [{ from, to, inLinux }, names] of crossings) {
    t.is(names.length > 0, inLinux, `${from} -> ${to}: ${names.join(', ')}`);
  }
});

test('every scenario keeps to the edges that Linux has', (t) => {
  for (const scenario of catalogue) {
    for (const [from, to] of stepsIn(scenario)) {
      t.true(edgeBetween(from, to)?.inLinux, `${scenario.name}: ${from} -> ${to}`);
    }
  }
});

test('all eleven states are entered, and left', (t) => {
  const states = tcpStates.filter((state) => !['NEW_SYN_RECV', 'BOUND_INACTIVE'].includes(state));
  t.is(states.length, 11);
  const steps = catalogue.flatMap(stepsIn);
  for (const state of states) {
    t.true(
      steps.some(([, to]) => to === state),
      `${state} is entered`,
    );
    t.true(
      steps.some(([from]) => from === state),
      `${state} is left`,
    );
  }
});
