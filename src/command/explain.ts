import {
  type ExplainedScenario,
  type ExplainedState,
  type ExplainedTransition,
  formatScenario,
  formatState,
  formatTransitions,
} from '../report/explain.js';
import { formatJson } from '../report/json.js';
import { catalogue } from '../scenario/catalogue.js';
import { driversOf, type Scenario } from '../scenario/scenario.js';
import { type DiagramEdge, diagram, edgeBetween, stepsOf } from '../tcp/diagram.js';
import { explanations, stateCalled } from '../tcp/explanations.js';
import type { TcpStateName } from '../tcp/states.js';
import { AS_EXPECTED, type Io, Usage } from './command.js';
import { suggestion } from './nearest.js';

/** `closewait explain`: a state, by its own name or that of a cause, a scenario, or both where they have the same name; without a name the state diagram. */
export function explain(
  name: string | undefined,
  { json }: { json?: true },
  { out, paint, columns }: Io,
): number {
  if (name === undefined) {
    const transitions = transitionsOf(diagram);
    out(json ? formatJson({ transitions }) : formatTransitions(transitions));
    return AS_EXPECTED;
  }
  const scenario = scenarioNamed(name);
  // A cause, as `diagnose` names it, is explained with the state that it keeps a socket in.
  const state = stateNamed(name) ?? (scenario ? undefined : stateNamed(stateOfCause(name) ?? ''));
  if (state === undefined && scenario === undefined) {
    const others = Object.values(explanations).flatMap(({ filter = [], causes }) => [
      ...causes,
      ...[filter].flat(),
    ]);
    const names = [...catalogue.map((each) => each.name), ...Object.keys(explanations), ...others];
    const near = suggestion(name, names);
    throw new Usage(
      `no state, scenario or cause "${name}"${near}; \`closewait list\` shows the scenarios`,
    );
  }
  if (json) {
    out(formatJson({ ...(state && { state }), ...(scenario && { scenario }) }));
    return AS_EXPECTED;
  }
  const parts = [
    ...(state ? [formatState(state, paint, columns)] : []),
    ...(scenario ? [formatScenario(scenario, paint, columns)] : []),
  ];
  out(parts.join('\n'));
  return AS_EXPECTED;
}

function stateOfCause(name: string): string | undefined {
  const [state] = Object.entries(explanations).find(([, { causes }]) =>
    causes.some((cause) => cause === name),
  ) ?? [undefined];
  return state;
}

function stateNamed(name: string): ExplainedState | undefined {
  const state = stateCalled(name);
  if (state === undefined) return undefined;
  const passing = catalogue.filter((each) => pathsOf(each).some((path) => path.includes(state)));
  return {
    state,
    ...explanations[state],
    transitions: transitionsOf(diagram.filter(({ from, to }) => from === state || to === state)),
    scenarios: passing
      .sort((a, b) => distanceFrom(state, a) - distanceFrom(state, b))
      .map((each) => each.name),
  };
}

/** How far a scenario is from being about a state: it says so first of all, by its proof, or not at all. */
function distanceFrom(state: keyof typeof explanations, scenario: Scenario): number {
  const { title, proof = {}, expected = {} } = scenario;
  if (new RegExp(`^${state}\\b`).test(title)) return 0;
  const sockets = Object.values(expected).flatMap((ends) => Object.values(ends));
  const causes: readonly unknown[] = explanations[state].causes;
  return Object.values(proof).includes(state) || sockets.some(({ cause }) => causes.includes(cause))
    ? 1
    : 2;
}

/** The paths of both ends, and of the listener where the story is about it. */
const pathsOf = ({ path, listener }: Scenario): (readonly TcpStateName[])[] => [
  ...Object.values(path),
  listener ?? [],
];

function transitionsOf(edges: readonly DiagramEdge[]): ExplainedTransition[] {
  const crossed = catalogue.map((scenario) => {
    const { name } = scenario;
    const steps = pathsOf(scenario).flatMap((states) => stepsOf(states));
    return { name, edges: new Set(steps.map(([from, to]) => edgeBetween(from, to))) };
  });
  return edges.map((edge) => ({
    ...edge,
    scenarios: crossed.filter((each) => each.edges.has(edge)).map((each) => each.name),
  }));
}

function scenarioNamed(name: string): ExplainedScenario | undefined {
  const scenario = catalogue.find((each) => each.name === name);
  if (scenario === undefined) return undefined;
  const { title, source, summary, path, control } = scenario;
  return {
    ...{ name, title, source, summary, path },
    drivers: driversOf(scenario),
    needs: needsOf(scenario),
    ...(control && { control: control.what }),
  };
}

function needsOf({ sysctls, needsNamespace, place, families, slow }: Scenario): string[] {
  const own = sysctls !== undefined || needsNamespace || place !== undefined;
  return [
    ...(own ? ['a network namespace of its own'] : []),
    ...Object.entries(sysctls ?? {}).map(([path, value]) => `${path} = ${value}`),
    ...(place?.link ? ['a link that loses and holds what it is told to'] : []),
    ...(place?.wire ? [`a ${place.wire} without a TCP`] : []),
    ...(families?.length === 1 ? [`IPv${families[0]}`] : []),
    ...(slow ? ['some patience'] : []),
  ];
}
