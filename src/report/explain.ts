import type { Scenario } from '../scenario/scenario.js';
import type { DiagramEdge } from '../tcp/diagram.js';
import { causeMeanings, type Explanation } from '../tcp/explanations.js';
import type { TcpStateName } from '../tcp/states.js';
import { wrapped } from './cell.js';
import { formatDiagram } from './diagram.js';
import type { Paint } from './terminal.js';

/** A transition, and the names of the scenarios that cross it. */
export interface ExplainedTransition extends DiagramEdge {
  readonly scenarios: readonly string[];
}

/** A state, with what the diagram and the catalogue have of it. */
export interface ExplainedState extends Explanation {
  readonly state: TcpStateName;
  /** The transitions into it and out of it. */
  readonly transitions: readonly ExplainedTransition[];
  /** The names of the scenarios that lead through it, first those that are about it. */
  readonly scenarios: readonly string[];
}

/** A scenario, as it is to be told without being run. */
export interface ExplainedScenario
  extends Pick<Scenario, 'name' | 'title' | 'source' | 'summary' | 'path'> {
  readonly drivers: readonly string[];
  /** What it takes to run it, each a phrase. */
  readonly needs: readonly string[];
  /** What its control does differently. */
  readonly control?: string;
}

const LABEL_WIDTH = 13;
/** Of the scenarios that a state is in besides the first. */
const MOST_NAMES = 12;

/** What a state means, who must act, and where it leads. */
export function formatState(state: ExplainedState, paint: Paint, columns: number): string {
  const line = (label: string, ...texts: readonly string[]): string[] =>
    texts.flatMap((text, i) => labelled(i === 0 ? label : '', text, paint, columns));
  const { filter, seen = filter && `ss -tan state ${filter}` } = state;
  const [first, ...others] = state.scenarios;
  const more = others.length - MOST_NAMES;
  const also = others.slice(0, MOST_NAMES).join(', ') + (more > 0 ? ` and ${more} more` : '');
  return text([
    paint('bold', state.state),
    ...wrapped(state.meaning, columns),
    '',
    ...line('who must act', state.actor),
    ...line('way out', state.wayOut),
    ...line('timer', state.timer),
    ...line('settings', ...state.settings.map(({ name, effect }) => `${name}: ${effect}`)),
    ...line('causes', ...state.causes.map((cause) => `${cause}: ${causeMeanings[cause]}`)),
    ...(seen === undefined ? [] : line('see it', seen)),
    ...(first === undefined ? [] : line('run it', `closewait run ${first}`)),
    ...(also === '' ? [] : line('also in', also)),
    '',
    formatTransitions(state.transitions).trimEnd(),
  ]);
}

/** What a scenario shows, where it is written, and what it takes. */
export function formatScenario(scenario: ExplainedScenario, paint: Paint, columns: number): string {
  const line = (label: string, value: string): string[] => labelled(label, value, paint, columns);
  const paths = Object.entries(scenario.path);
  return text([
    `${paint('bold', scenario.name)}: ${scenario.title}`,
    ...wrapped(scenario.summary, columns),
    '',
    ...paths.flatMap(([end, path]) => line(end, path.join(' > '))),
    ...line('source', scenario.source),
    ...line('drivers', scenario.drivers.join(', ')),
    ...(scenario.needs.length === 0 ? [] : line('needs', scenario.needs.join('; '))),
    ...(scenario.control === undefined ? [] : line('control', scenario.control)),
    ...line('run it', `closewait run ${scenario.name}`),
  ]);
}

/** A line for each transition, with the scenarios that cross it. */
export function formatTransitions(transitions: readonly ExplainedTransition[]): string {
  return formatDiagram(transitions, new Map(transitions.map((each) => [each, each.scenarios])));
}

const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

function labelled(label: string, value: string, paint: Paint, columns: number): string[] {
  const [first = '', ...rest] = wrapped(value, Math.max(columns - LABEL_WIDTH, LABEL_WIDTH));
  const margin = ' '.repeat(LABEL_WIDTH);
  // Padded first: a colour's escapes have no width on the terminal.
  return [
    `${paint('dim', label.padEnd(LABEL_WIDTH))}${first}`,
    ...rest.map((each) => margin + each),
  ];
}

/** Lines of whole words. */
