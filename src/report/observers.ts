import type { Availability } from '../observer/observer.js';
import type { Paint } from './terminal.js';

const HEADINGS = [
  ['sees', 'Sees'],
  ['blindTo', 'Blind to'],
  ['costs', 'Costs'],
  ['needs', 'Needs'],
  ['clock', 'Clock'],
] as const;

/** Every observer under the same headings, so that they can be compared; first whether it can run here, and why not. */
export function formatObservers(observers: readonly Availability[], paint: Paint): string {
  return observers
    .map((observer) => {
      const { name, available, reason, via } = observer;
      const by = via === undefined ? '' : ` by ${via}`;
      const can = available ? paint('green', `available${by}`) : paint('red', 'not available');
      const why = reason === undefined ? '' : `: ${reason}`;
      const lines = HEADINGS.map(([key, title]) => `  ${title.padEnd(9)} ${observer[key]}`);
      return `${paint('bold', name)}: ${can}${why}\n${lines.join('\n')}\n`;
    })
    .join('\n');
}
